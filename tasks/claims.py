"""Claims: which attempts a worker has in hand, and when it may have been given one that it never heard of."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from tasks.store import Claim

#: Seconds after a missed answer in which a claim that was sent before it may still reach Redis: what a closed
#: connection has not delivered is sent again for so long (tcp(7), tcp_orphan_retries).
DOUBT = 120.0
#: Seconds before the end of a doubt in which nothing is settled any more: what is sent now may be answered after it.
LATE = 15.0


class Claims:
    """What a worker knows to be its own. Where an answer of Redis was missed, more may be: nobody would do that."""

    def __init__(self, missed_at: Callable[[], float]) -> None:
        """`missed_at` says when an answer of Redis was last missed, in seconds of the monotonic clock."""
        self._missed_at = missed_at
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._on_their_way = 0

    def know(self, claim: Claim) -> None:
        """Take an attempt in hand."""
        with self._lock:
            self._known.add(claim.id)

    def forget(self, claim: Claim) -> None:
        """It has ended, or belongs to another."""
        with self._lock:
            self._known.discard(claim.id)

    @contextlib.contextmanager
    def another(self) -> Iterator[bool]:
        """Whether another run may be claimed together with something else; while in doubt it may not."""
        with self._lock:
            may = self._since_missed >= DOUBT
            self._on_their_way += may
        try:
            yield may
        finally:
            with self._lock:
                self._on_their_way -= may

    @property
    def all_known(self) -> list[str] | None:
        """All attempts in hand, where there is doubt and no claim is on its way; the caller lets none be made."""
        with self._lock:
            if self._since_missed >= DOUBT - LATE or self._on_their_way:
                return None
            return sorted(self._known)

    @property
    def _since_missed(self) -> float:
        return time.monotonic() - self._missed_at()
