"""`zoneinfo` for user code: the zones' data is read into memory beforehand, because a run can open no file."""

from __future__ import annotations

import io
import zoneinfo
from zoneinfo import _common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _read_all() -> dict[str, bytes]:
    from importlib import resources

    data: dict[str, bytes] = {}
    for key in zoneinfo.available_timezones():
        *folders, name = key.split("/")
        try:
            source = resources.files(".".join(["tzdata.zoneinfo", *folders])).joinpath(name)
            data[key] = source.read_bytes()
        except (OSError, ModuleNotFoundError):
            continue
    return data


def public() -> dict[str, Any]:
    """The members of the `zoneinfo` facade."""
    data = _read_all()
    made: dict[str, zoneinfo.ZoneInfo] = {}

    def load(key: str) -> io.BytesIO:
        if key not in data:
            raise zoneinfo.ZoneInfoNotFoundError(f"No time zone found with key {key}")
        return io.BytesIO(data[key])

    # For the class itself, which code has by type(): it asks here where no folder of zones is known.
    zoneinfo.reset_tzpath(())
    _common.load_tzdata = load  # type: ignore[assignment]

    def zone(key: str) -> zoneinfo.ZoneInfo:
        name = str.__str__(key)
        if name not in data:
            raise zoneinfo.ZoneInfoNotFoundError(f"No time zone found with key {name}")
        if name not in made:
            made[name] = zoneinfo.ZoneInfo.from_file(io.BytesIO(data[name]), key=name)
        return made[name]

    return {
        "ZoneInfo": zone,
        "ZoneInfoNotFoundError": zoneinfo.ZoneInfoNotFoundError,
        "available_timezones": lambda: set(data),
    }
