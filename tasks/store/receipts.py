"""Receipts: what was answered under an Idempotency-Key, so that a request sent again has its effect once.

A receipt is opened before the work, with a lease, and holds the answer afterwards. What stores tasks writes the answer
in the same script, guarded by the token of the try that opened it: a process that dies in between has either done both
or neither, and the next try either finds the answer or does the work.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.store.connection import Connection

#: Milliseconds for which a try has a receipt to itself. A slower one is refused when it comes to store something.
LEASE = 15_000
#: Milliseconds for which an answer is kept.
KEPT = 86_400_000


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """An open receipt: the work is the caller's to do."""

    key: str
    token: str
    #: Redis' clock when it was opened, ms.
    now: int


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


class Receipts:
    """The verbs of receipts. Each raises StoreUnavailable where Redis is away."""

    def __init__(self, connection: Connection) -> None:
        self._redis = connection

    def open(self, key: str, *, fingerprint: str, token: str) -> Receipt | Busy | Kept | Reused:
        """Open the receipt `key` for a request with this fingerprint, or say why not."""
        answer = self._redis.run("receipt_open", key, fingerprint, token, LEASE, KEPT)
        if answer[0] == "opened":
            return Receipt(key=key, token=token, now=int(answer[1]))
        if answer[0] == "busy":
            return Busy(left=int(answer[1]))
        return Kept(answer=answer[1]) if answer[0] == "kept" else Reused()

    def close(self, receipt: Receipt, answer: str) -> bool:
        """Keep the answer, or forget the receipt where it is empty; whether the receipt still was the caller's."""
        return bool(self._redis.run("receipt_close", receipt.key, receipt.token, answer))
