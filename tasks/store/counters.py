"""What the scripts count, read back."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.model import Status
from tasks.store import parse
from tasks.store.connection import Connection
from tasks.store.records import BUCKETS, Spans, Tally

#: What may become of a callback.
ENDS = ("delivered", "failed", "dropped")


class Counters:
    """Reads the counters; each script that moves something counts it in the same step."""

    def __init__(self, connection: Connection) -> None:
        self._redis = connection

    def read(self, minutes: int) -> Tally:
        """The tally with the last `minutes` minutes, the current one with them. Raises StoreUnavailable."""
        now, tasks, first, by_status, flat, recent = self._redis.run("stats", minutes, *Status)
        counted = _numbers(parse.pairs(flat))
        return Tally(
            now=int(now),
            tasks=tasks,
            by_status=dict(zip(Status, by_status, strict=True)),
            first_due=int(first) if first else None,
            submitted=_two_words(counted, "submitted"),
            ended=_two_words(counted, "ended"),
            delays=_spans(counted, "delay"),
            durations=_spans(counted, "duration"),
            callbacks={name: counted.get(f"callbacks:{name}", 0) for name in ("tries", *ENDS)},
            minutes=[_numbers(parse.pairs(minute)) for minute in recent],
        )


def _numbers(texts: Mapping[str, str]) -> dict[str, int]:
    return {name: int(text) for name, text in texts.items()}


def _two_words(counted: Mapping[str, int], what: str) -> dict[tuple[str, str], int]:
    found = {}
    for name, number in counted.items():
        first, *words = name.split(":")
        if first == what:
            found[words[0], words[1]] = number
    return found


def _spans(counted: Mapping[str, int], what: str) -> dict[str, Spans]:
    kinds = {name.split(":")[1] for name in counted if name.startswith(f"{what}:")}
    return {
        kind: Spans(
            counts=[counted.get(f"{what}:{kind}:{bucket}", 0) for bucket in range(1, len(BUCKETS) + 2)],
            total=counted.get(f"{what}:{kind}:ms", 0),
        )
        for kind in sorted(kinds)
    }
