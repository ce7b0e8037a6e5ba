"""Where hardened children of one kind come from: a zygote that is started at need, and anew when it has died."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tasks.sandbox.host import Host, ReadyChild, SandboxUnavailable
from tasks.sandbox.wire import Budget

#: Seconds after a zygote that cannot contain code before another is tried.
RETRY_SECONDS = 5.0


class Supply:
    """Children of one kind. Safe to use from several threads."""

    def __init__(self, kind: str, budget: Budget, extra_modules: Sequence[str]) -> None:
        """Starts nothing yet. `kind` is one of `wire`; `budget` bounds each child that has none of its own."""
        self._kind = kind
        self._budget = budget
        self._arguments = [str(budget.memory_mb), str(budget.cpu_seconds), *extra_modules]
        self._lock = threading.Lock()
        self._host: Host | None = None
        self._tried = 0.0
        self._trouble = ""
        self._closed = False

    @contextlib.contextmanager
    def borrow(self, budget: Budget | None = None) -> Iterator[ReadyChild]:
        """A hardened child for as long as the block lasts; it is killed afterwards. Raises SandboxUnavailable."""
        child, from_stock = self._take(None if budget == self._budget else budget)
        try:
            yield child
        finally:
            child.end(again=from_stock)

    def _take(self, budget: Budget | None) -> tuple[ReadyChild, bool]:
        host = self._living_host()
        try:
            return host.take(budget)
        except SandboxUnavailable:
            if not host.gone:
                raise
        return self._living_host().take(budget)  # of a new one: the zygote may have died since the last run

    def _living_host(self) -> Host:
        host = self._host
        if host is not None and not host.gone:
            return host
        with self._lock:
            if self._closed:
                raise SandboxUnavailable("The sandbox is closed.")
            if self._host is None or self._host.gone:
                self._host = self._new_host(self._host)
            return self._host

    def _new_host(self, old: Host | None) -> Host:
        if old is not None:
            old.close()
            self._host = None
        if self._trouble and time.monotonic() - self._tried < RETRY_SECONDS:
            raise SandboxUnavailable(self._trouble)
        self._tried = time.monotonic()
        try:
            host = Host(self._kind, self._arguments)
            if not host.hello["available"]:
                host.close()
                raise SandboxUnavailable(f"Code cannot be contained here: {host.hello['reason']}.")
        except SandboxUnavailable as error:
            self._trouble = str(error)
            raise
        except OSError as error:
            self._trouble = f"The sandbox's process cannot be started ({error.strerror})."
            raise SandboxUnavailable(self._trouble) from None
        self._trouble = ""
        return host

    def layers(self) -> dict[str, Any]:
        """Whether code can run here, why not, and which layers of containment are in force; JSON data."""
        try:
            host = self._living_host()
        except SandboxUnavailable as error:
            return {"available": False, "reason": str(error), "layers": {}}
        return dict(host.hello)

    def prestart(self) -> None:
        """Start the zygote and its children now; where that cannot be, the first use says so."""
        with contextlib.suppress(SandboxUnavailable):
            self._living_host()

    def close(self) -> None:
        """End every process. Runs that still go on end as lost; nothing can be borrowed any more."""
        with self._lock:
            self._closed = True
            if self._host is not None:
                self._host.close()
                self._host = None
