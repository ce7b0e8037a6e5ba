"""A zygote that is killed in the middle of the work: what nobody has heard of is done again, and nobody is blamed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

import psutil
import pytest

from tasks.model import Failed
from tasks.report import Report
from tasks.sandbox import Sandbox, client, wire
from tests.integration.service import wait_for
from tests.security.attempts import ENDLESS, LIMITS

WORK = "def f():\n    n = 0\n    while n < 8_000_000: n += 1\n    return n"


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.setattr(client, "SOON", 3600.0)
    sandbox = Sandbox(memory_mb=128, cpu_seconds=60)
    yield sandbox
    sandbox.close()


def busy_zygote(kind: str, *but: int) -> psutil.Process | None:
    """The one of ours that has a child at work."""
    for zygote in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            ours = zygote.pid not in but and kind in zygote.cmdline()
            if ours and any(sum(child.cpu_times()[:2]) > 0.05 for child in zygote.children()):
                return zygote
    return None


def while_killing(kind: str, times: int, work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    killed: list[int] = []
    for _ in range(times):
        zygote = wait_for("a child at work", lambda: busy_zygote(kind, *killed), seconds=60)
        killed.append(zygote.pid)
        os.kill(zygote.pid, signal.SIGKILL)
    thread.join(120)
    assert not thread.is_alive()


@pytest.mark.parametrize(("times", "expected"), [(1, 8_000_000), (2, "sandbox_unavailable")])
def test_a_run_that_nobody_heard_of_is_done_once_more(sandbox: Sandbox, times: int, expected: object) -> None:
    found: list[object] = []

    def run() -> None:
        outcome = sandbox.run(source=WORK, function_name="f", args=[], kwargs={}, limits=LIMITS, report=Report(1000))
        found.append(outcome.code if isinstance(outcome, Failed) else outcome.value)

    while_killing(wire.RUN, times, run)
    assert found == [expected]


def test_a_source_is_not_called_complex_because_its_compiler_was_killed(sandbox: Sandbox) -> None:
    found: list[str] = []
    while_killing(wire.COMPILE, 2, lambda: found.extend(each.code for each in sandbox.check(ENDLESS, "f")))
    assert found == ["sandbox_unavailable"]
