"""What is known of sources that a sandbox child has compiled: kept in memory, least recently used out first.

The marshalled code is opaque here: only a hardened child ever loads it.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass

from tasks.errors import FieldProblem

MAX_ENTRIES = 1024
MAX_BYTES = 32 * 1024 * 1024
#: What a problem or a name takes besides its text.
OBJECT_BYTES = 400


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A source that breaks no rule, or the problems of one that does."""

    problems: tuple[FieldProblem, ...] = ()
    #: Functions defined at top level.
    functions: frozenset[str] = frozenset()
    #: Marshalled code, empty if there are problems.
    code: bytes = b""

    @property
    def weight(self) -> int:
        """About as many bytes as it takes."""
        texts = sum(len(each.message) for each in self.problems) + sum(map(len, self.functions))
        return len(self.code) + texts + OBJECT_BYTES * (1 + len(self.problems) + len(self.functions))


class CompiledSources:
    """A bounded memory of compiled sources. Safe to use from several threads.

    One Sandbox has one policy, one set of modules and one Python, so the source alone is the key.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, Compiled] = OrderedDict()
        self._bytes = 0

    def get(self, source: str) -> Compiled | None:
        """What is known of `source`."""
        key = _key(source)
        with self._lock:
            found = self._known.get(key)
            if found is not None:
                self._known.move_to_end(key)
            return found

    def keep(self, source: str, compiled: Compiled) -> None:
        """Remember `compiled`, forgetting the oldest where there is too much."""
        key = _key(source)
        with self._lock:
            if key in self._known:
                return
            self._known[key] = compiled
            self._bytes += compiled.weight
            while self._bytes > MAX_BYTES or len(self._known) > MAX_ENTRIES:
                _, oldest = self._known.popitem(last=False)
                self._bytes -= oldest.weight


def _key(source: str) -> bytes:
    return hashlib.blake2b(source.encode("utf-8"), digest_size=20).digest()
