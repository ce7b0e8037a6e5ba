"""Who may look at Flower: FLOWER_BASIC_AUTH, or one login made once and kept in DATA_DIR."""

from __future__ import annotations

from pathlib import Path

from config import keys
from config.settings import Settings

USER = "admin"
PASSWORD = "flower_password"  # noqa: S105 - the name of a file


def flower_login(settings: Settings) -> tuple[str, bool]:
    """`user:password` for Flower, and whether it was made here because FLOWER_BASIC_AUTH is not set.

    A made password is kept in a file, see `kept_in`. Raises OSError where that cannot be written.
    """
    if settings.flower_basic_auth is not None:
        return settings.flower_basic_auth.get_secret_value(), False
    return f"{USER}:{keys.made_once(settings.data_dir, PASSWORD)}", True


def kept_in(settings: Settings) -> Path:
    """The file that holds a password made here."""
    return keys.folder(settings.data_dir) / PASSWORD
