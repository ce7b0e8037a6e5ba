"""Task ids: UUIDs of version 7 (RFC 9562), so that their order is the order of creation."""

from __future__ import annotations

import secrets
import threading
import time
import uuid

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """A new id; later ones of this process sort after earlier ones.

    48 bits of milliseconds, 12 bits of the fraction of a millisecond (RFC 9562 §6.2, method 3), 62 random bits.
    """
    global _last
    with _lock:
        stamp = time.time_ns() * 4096 // 1_000_000
        _last = stamp = max(stamp, _last + 1)
    milliseconds, fraction = divmod(stamp, 4096)
    value = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def moment_of(task_id: str) -> int:
    """When an id was made, in milliseconds since the epoch."""
    return int(task_id[:8] + task_id[9:13], 16)


def first_at(moment: int) -> str:
    """A beginning that sorts before every id made at `moment` (ms) or later, and after every earlier one."""
    text = f"{max(0, min(moment, 2**48 - 1)):012x}"
    return f"{text[:8]}-{text[8:]}"


def is_id(text: str) -> bool:
    """Whether `text` could be a task id, as we write them."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
