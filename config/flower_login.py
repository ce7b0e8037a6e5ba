"""Who may look at Flower: FLOWER_BASIC_AUTH, or one login made once and kept in DATA_DIR."""

from __future__ import annotations

from config import keys
from config.settings import Settings

USER = "admin"


def flower_login(settings: Settings) -> tuple[str, bool]:
    """`user:password` for Flower, and whether it was made here because FLOWER_BASIC_AUTH is not set.

    A made password is kept in DATA_DIR/secrets/flower_password. Raises OSError where that cannot be written.
    """
    if settings.flower_basic_auth is not None:
        return settings.flower_basic_auth.get_secret_value(), False
    return f"{USER}:{keys.made_once(settings.data_dir, 'flower_password')}", True
