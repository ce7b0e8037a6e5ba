"""Slots: how many runs of each kind one worker process does at once."""

from __future__ import annotations

from collections.abc import Mapping


class Slots:
    """Counts taken slots. Not safe by itself: the worker holds its lock around every call."""

    def __init__(self, *, total: int, most: Mapping[str, int]) -> None:
        """`total` over all kinds, and `most` for each kind by name."""
        self._total = total
        self._most = dict(most)
        self._taken = dict.fromkeys(most, 0)
        self._missed: set[str] = set()

    @property
    def rooms(self) -> list[str]:
        """Kinds for which there is room."""
        left = self._total - sum(self._taken.values())
        return [kind for kind, most in self._most.items() if left > 0 and self._taken[kind] < most]

    @property
    def free(self) -> dict[str, int]:
        """How many more of each kind fit, for those for which there is room."""
        left = self._total - sum(self._taken.values())
        return {kind: min(left, self._most[kind] - self._taken[kind]) for kind in self.rooms}

    @property
    def taken(self) -> Mapping[str, int]:
        """How many are taken, by kind."""
        return dict(self._taken)

    def take(self, kind: str) -> None:
        """Take one; the caller has seen that there is room."""
        self._taken[kind] += 1

    def give(self, kind: str) -> None:
        """Give one back."""
        self._taken[kind] -= 1

    def miss(self, kind: str) -> None:
        """Note that a run of this kind was turned away for lack of room."""
        self._missed.add(kind)

    def missed(self) -> list[str]:
        """Kinds that were turned away and for which there is room now; forgotten by asking."""
        again = [kind for kind in self.rooms if kind in self._missed]
        self._missed.difference_update(again)
        return again
