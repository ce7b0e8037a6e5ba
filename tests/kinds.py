"""A kind that does nothing but what a test tells it: say, wait, fail, print, and whether it obeys a stop."""

from __future__ import annotations

import threading
import time
from typing import Any

from pydantic import Field

from config.settings import Settings
from tasks.base_tasks import Kind, Spec
from tasks.model import Done, Failed, Limits, Outcome
from tasks.report import Report


class EchoSpec(Spec):
    echo: Any = None
    wait: float = Field(default=0.0, ge=0)
    prints: str = ""
    fails: str = ""
    permanent: bool = False
    #: Fails so often before it succeeds.
    fails_first: int = 0
    raises: bool = False


class EchoKind(Kind):
    """Repeatable, and obeys a stop at once."""

    name = "echo"
    Spec = EchoSpec
    marks = frozenset({"echo"})
    repeatable = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.default_timeout = 30.0
        self.performed: list[Any] = []
        self.idempotency_keys: list[str | None] = []
        self.most_at_once = 0
        self.closed = 0
        self.prestarted = 0
        self._at_once = 0
        self._lock = threading.Lock()

    def run(self, spec: EchoSpec, limits: Limits, report: Report) -> Outcome:
        with self._lock:
            self.performed.append(spec.echo)
            self.idempotency_keys.append(report.idempotency_key)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return self._do(spec, limits, report)
        finally:
            with self._lock:
                self._at_once -= 1

    def _do(self, spec: EchoSpec, limits: Limits, report: Report) -> Outcome:
        if spec.raises:
            raise RuntimeError("a fault of the kind, not of the work")
        report.output("stdout", spec.prints)
        stopped = threading.Event()
        with report.on_stop(stopped.set):
            if stopped.wait(min(spec.wait, limits.timeout)):
                return Failed(code="stopped", message="The run was stopped.")
        if spec.wait > limits.timeout:
            return Failed(code="timed_out", message="Too slow.", permanent=False)
        if spec.fails or self.performed.count(spec.echo) <= spec.fails_first:
            return Failed(code=spec.fails or "code_raised", message="It failed.", permanent=spec.permanent, line=2)
        return Done(value=spec.echo)

    def prestart(self, *, runs: bool) -> None:
        self.prestarted += 1

    def close(self) -> None:
        self.closed += 1


class OnceKind(EchoKind):
    """The same, but not to be repeated unasked."""

    name = "once"
    marks = frozenset({"once"})
    repeatable = False

    class Spec(EchoSpec):
        once: bool = True


class DeafKind(EchoKind):
    """Hears no stop and keeps no deadline: it goes on until the test opens `released`."""

    name = "deaf"
    marks = frozenset({"deaf"})

    class Spec(EchoSpec):
        deaf: bool = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.released = threading.Event()

    def _do(self, spec: EchoSpec, limits: Limits, report: Report) -> Outcome:
        self.released.wait(60)
        return Done(value=spec.echo)


def eventually(true: Any, seconds: float = 15.0) -> None:
    """Wait until `true()` holds; fails where it never does."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"still not so after {seconds} s")
        time.sleep(0.01)
