"""Secrets that come from files: `SECRET_KEY_FILE=/run/secrets/key` sets SECRET_KEY to what that file holds."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

#: Pydantic's name for a fault of a secret's file.
UNREADABLE = "unreadable"


@dataclass(frozen=True, kw_only=True)
class UnreadableFile:
    """Stands for a secret whose file cannot be read, until validation says so beside everything else."""

    path: str
    reason: str


class SecretFiles(PydanticBaseSettingsSource):
    """Reads `NAME` from the file that `NAME_FILE` points at, for the names of secrets only."""

    def __init__(self, settings_cls: type[BaseSettings], names: Sequence[str]) -> None:
        super().__init__(settings_cls)
        self._names = names

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Not used: `__call__` returns all values together."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        """The secrets found in files, by field; an UnreadableFile where a named file cannot be read."""
        found: dict[str, Any] = {}
        for name in self._names:
            path = os.environ.get(f"{name}_FILE")
            if not path or os.environ.get(name):
                continue
            try:
                found[name.lower()] = Path(path).read_text(encoding="utf-8").strip()
            except OSError as error:
                found[name.lower()] = UnreadableFile(path=path, reason=str(error.strerror))
            except UnicodeDecodeError:
                found[name.lower()] = UnreadableFile(path=path, reason="not UTF-8")
        return found


def readable(value: Any) -> Any:
    """The value, unless it stands for a file that cannot be read."""
    if isinstance(value, UnreadableFile):
        raise PydanticCustomError(UNREADABLE, "cannot read {path} ({reason}).", dataclasses.asdict(value))
    return value
