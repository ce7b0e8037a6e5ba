"""Secrets that development makes for itself and keeps in DATA_DIR, so that nobody has to think of one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from config.settings import Settings


def jwt_key(settings: Settings) -> str:
    """The key that signs tokens: JWT_SECRET_KEY, or one made once. Raises OSError where DATA_DIR cannot be written."""
    given = settings.jwt_secret_key
    return given.get_secret_value() if given else made_once(settings.data_dir, "jwt_secret_key")


def secret_key(settings: Settings) -> str:
    """SECRET_KEY, or one made once. Raises OSError where DATA_DIR cannot be written."""
    given = settings.secret_key
    return given.get_secret_value() if given else made_once(settings.data_dir, "secret_key")


def folder(data_dir: Path) -> Path:
    """Where made secrets are kept, each in a file of its name."""
    return data_dir / "secrets"


def made_once(data_dir: Path, name: str) -> str:
    """The secret kept in `data_dir`/secrets/`name`, made on first use; readable by this user only.

    Safe with several processes at once: whoever links its file first decides.
    """
    place = folder(data_dir)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = place / name
    if not path.exists():
        draft = place / f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text(encoding="utf-8").strip()
