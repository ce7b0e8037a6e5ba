"""Moments as people write them (RFC 3339) and as we keep them (milliseconds since the epoch)."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from functools import lru_cache

#: RFC 3339 §5.6: a date, a time and an offset; Python's own parser takes more than that.
RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


def now() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000


def parse(text: str) -> int:
    """The moment that `text` names. Raises ValueError where it is not RFC 3339 with an offset."""
    if not RFC3339.fullmatch(text):
        raise ValueError("must be a date and time with an offset, such as 2026-01-31T09:00:00+08:00")
    try:
        return round(datetime.fromisoformat(text.upper()).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError("is not a date and time that exists") from None


@lru_cache(maxsize=1024)
def show(moment: int | None) -> str | None:
    """`moment` in UTC with milliseconds and `Z`."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
