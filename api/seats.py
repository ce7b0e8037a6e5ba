"""Seats: how many requests may hold a thread for long, so that the others always find one."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tasks.errors import TooMuch

#: Seconds after which a refused reader may try again.
RETRY_AFTER = 5


class Seats:
    """Counts those who wait, for news of a task or for its end, in one process."""

    def __init__(self, total: int, *, leaving: Callable[[], bool]) -> None:
        """`leaving` says whether the process is about to end, and everybody has to go."""
        self._free = threading.BoundedSemaphore(total)
        self.leaving = leaving

    def try_take(self) -> bool:
        """Take one if there is one."""
        return self._free.acquire(blocking=False)

    def take(self) -> None:
        """Take one. Raises TooMuch."""
        if not self.try_take():
            text = "Too many clients follow tasks already; poll the task, or try again later."
            raise TooMuch(text, code="too_many_streams", retry_after=RETRY_AFTER)

    def give(self) -> None:
        """Give one back."""
        self._free.release()
