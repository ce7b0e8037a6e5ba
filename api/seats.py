"""Seats: how many requests may hold a thread for long, so that the others always find one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from tasks.errors import TooMuch

#: Seconds after which a refused reader may try again.
RETRY_AFTER = 5


class Seats:
    """Counts those who wait, for news of a task or for its end, in one process."""

    def __init__(self, total: int, *, each: int, leaving: Callable[[], bool]) -> None:
        """`each` is how many one user may have; `leaving` says whether the process is about to end: all have to go."""
        self._total, self._each = total, each
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.leaving = leaving

    def try_take(self, name: str) -> bool:
        """Take one for a user if there is one."""
        with self._lock:
            if self._taken.total() >= self._total or self._taken[name] >= self._each:
                return False
            self._taken[name] += 1
            return True

    def take(self, name: str) -> None:
        """Take one for a user. Raises TooMuch."""
        if not self.try_take(name):
            text = "Too many clients follow tasks already; poll the task, or try again later."
            raise TooMuch(text, code="too_many_streams", retry_after=RETRY_AFTER)

    def give(self, name: str) -> None:
        """Give one back."""
        with self._lock:
            self._taken[name] -= 1
            if not self._taken[name]:
                del self._taken[name]
