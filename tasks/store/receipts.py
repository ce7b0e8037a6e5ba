"""Receipts: what was answered under an Idempotency-Key, so that a request sent again has its effect once.

A receipt is opened before the work, with a lease, and holds the answer afterwards. What stores tasks writes the answer
in the same script, guarded by the token of the try that opened it: a process that dies in between has either done both
or neither, and the next try either finds the answer or does the work.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.principal import NOBODY
from tasks.store.connection import Connection

#: Milliseconds for which a try has a receipt to itself. A slower one is refused when it comes to store something.
LEASE = 15_000
#: Milliseconds for which an answer is kept.
KEPT = 86_400_000
#: Bytes of answers that are kept for one owner where there are quotas.
MOST_KEPT = 268_435_456


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """An open receipt: the work is the caller's to do."""

    key: str
    token: str
    #: Redis' clock when it was opened, ms.
    now: int
    #: Whose request it is.
    owner: str = NOBODY


@dataclass(frozen=True, kw_only=True)
class Busy:
    """Another try is at work; its lease has so many milliseconds left."""

    left: int


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The work was done, and this was the answer."""

    answer: str


class Reused:
    """The key came with another request before."""


class Full:
    """So much is kept for the owner that nothing more is."""


class Receipts:
    """The verbs of receipts. Each raises StoreUnavailable where Redis is away."""

    def __init__(self, connection: Connection) -> None:
        self._redis = connection

    def open(
        self, key: str, *, fingerprint: str, token: str, owner: str = NOBODY, most: int | None = None
    ) -> Receipt | Busy | Kept | Reused | Full:
        """Open the receipt `key` for a request of `owner` with this fingerprint, or say why not.

        `most` is how many bytes of answers may be kept for him.
        """
        answer = self._redis.run("receipt_open", key, fingerprint, token, LEASE, KEPT, owner, most or "")
        if answer[0] == "opened":
            return Receipt(key=key, token=token, now=int(answer[1]), owner=owner)
        if answer[0] == "full":
            return Full()
        if answer[0] == "busy":
            return Busy(left=int(answer[1]))
        return Kept(answer=answer[1]) if answer[0] == "kept" else Reused()

    def close(self, receipt: Receipt, answer: str) -> bool:
        """Keep the answer, or forget the receipt where it is empty; whether the receipt still was the caller's."""
        return bool(self._redis.run("receipt_close", receipt.key, receipt.token, answer, receipt.owner))
