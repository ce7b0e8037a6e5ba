"""Which secrets and passwords are too weak to protect anything."""

from __future__ import annotations

LEAST_SECRET = 16
LEAST_PASSWORD = 12
MOST_PASSWORD = 256
#: Too easily guessed, whatever their length: those of guides, and what people type when they have to type something.
WELL_KNOWN = frozenset(
    {
        *("your-secret-key", "your-jwt-secret-key", "dev-secret-key", "super-secret-key", "change-me-in-production"),
        *("your-admin-password", "administrator", "password1234", "passwordpassword", "qwertyuiopas", "letmeinletmein"),
        *("123456789012", "1234567890123456", "changeme1234", "changemechangeme", "correcthorsebatterystaple"),
    }
)


def secret_fault(secret: str | None) -> str | None:
    """What is wrong with a secret, as a sentence, or None where it will do."""
    if not secret:
        return "must be set in production."
    if secret.lower() in WELL_KNOWN or len(set(secret)) < 5:
        return "is a well-known or trivial value."
    if len(secret) < LEAST_SECRET:
        return f"is too short: at least {LEAST_SECRET} characters."
    return None


def password_fault(password: str, name: str = "") -> str | None:
    """What is wrong with a password, as the end of a sentence that begins with its name; None where it will do."""
    if len(password) < LEAST_PASSWORD:
        return f"must have at least {LEAST_PASSWORD} characters."
    if len(password) > MOST_PASSWORD:
        return f"must have at most {MOST_PASSWORD} characters."
    if password.lower() in WELL_KNOWN or len(set(password)) < 5 or password.lower() == name.lower():
        return "is too easily guessed."
    return None
