"""Which secrets and passwords are too weak to protect anything."""

from __future__ import annotations

from itertools import pairwise

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


def _is_trivial(text: str) -> bool:
    """Whether it is well known, a few characters or one short word over and over, or a row of the alphabet."""
    text = text.lower()
    if text in WELL_KNOWN or len(set(text)) < 5:
        return True
    if any(text[length:] == text[:-length] for length in range(1, len(text) // 2 + 1)):
        return True
    return len({ord(after) - ord(before) for before, after in pairwise(text)}) == 1


def secret_fault(secret: str | None) -> str | None:
    """What is wrong with a secret, as a sentence, or None where it will do."""
    if not secret:
        return "must be set in production."
    if _is_trivial(secret):
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
    if _is_trivial(password) or password.lower() == name.lower():
        return "is too easily guessed."
    return None
