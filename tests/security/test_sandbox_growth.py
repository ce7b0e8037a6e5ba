"""Runs by the thousand leave neither memory nor descriptors behind, in the zygote or in its worker."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import psutil
import pytest

from tasks.model import Limits
from tasks.report import Report
from tasks.sandbox import Sandbox, wire
from tests.integration.service import wait_for

#: Every way a run can end, the cheap ones often.
WAYS = (
    ("def f(): return 1", "done"),
    ("def f(): return [{'a': 'x' * 50}] * 200", "done"),
    ("def f():\n    for n in range(50): print(n)", "done"),
    ("def f(): return 1 / 0", "code_raised"),
    ("def f(): return object()", "result_not_serializable"),
    ("def f(): return 'x' * 2000", "done"),
    ("def f(): return [0] * 10**10", "memory_limit"),
    ("import os", "code_rejected"),
    ("x = (", "code_rejected"),
    ("def g(): return 1", "code_rejected"),
)
#: Bytes that allocators may keep, whatever the number of runs.
ROOM = 4 << 20


class Held(NamedTuple):
    """What a process holds."""

    memory: int
    descriptors: int
    threads: int


def held(pid: int) -> Held:
    gc.collect()
    process = psutil.Process(pid)
    return Held(process.memory_info().rss, process.num_fds(), process.num_threads())


def zygotes() -> dict[int, str]:
    """Process id and kind of all that this process has."""
    children = psutil.Process(os.getpid()).children()
    lines = {each.pid: each.cmdline() for each in children}
    return {
        pid: next(kind for kind in (wire.COMPILE, wire.RUN) if kind in line)
        for pid, line in lines.items()
        if "tasks.sandbox.zygote" in " ".join(line)
    }


class Busy:
    """A sandbox that does one run after the other, of every sort."""

    def __init__(self, sandbox: Sandbox, others: dict[int, str]) -> None:
        """`others` are the zygotes that other tests have."""
        self._sandbox, self._others = sandbox, others

    @property
    def zygotes(self) -> dict[int, str]:
        return {pid: kind for pid, kind in zygotes().items() if pid not in self._others}

    def one(self, number: int) -> None:
        source, code = WAYS[number % len(WAYS)]
        limits, options = Limits(timeout=20, max_result_bytes=50_000), {}
        if number % 50 == 0:
            source, code, limits = (
                "def f():\n    while True: pass",
                "timed_out",
                Limits(timeout=0.05, max_result_bytes=9),
            )
        elif number % 20 == 1:
            options = {"memory_mb": 32, "cpu_seconds": 1}
        elif number % 5 == 2:
            source += f"\n# {number}"  # never seen before, so compiled
        outcome = self._sandbox.run(
            source=source, function_name="f", args=[], kwargs={}, limits=limits, report=Report(1000), **options
        )
        assert getattr(outcome, "code", "done") == code, (source, outcome)

    def many(self, count: int) -> None:
        numbers = iter(range(count))
        with ThreadPoolExecutor(2) as pool:
            # Not map(), which would make thousands of futures beforehand.
            for done in [pool.submit(self._share, numbers) for _ in range(2)]:
                done.result()

    def _share(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            self.one(number)


@pytest.fixture
def busy() -> Iterator[Busy]:
    others = zygotes()
    sandbox = Sandbox(memory_mb=64, cpu_seconds=2)
    try:
        yield Busy(sandbox, others)
    finally:
        sandbox.close()


def at_rest(zygotes: dict[int, str]) -> bool:
    """Whether the last run's process is gone and the stock is as full as it is kept."""
    for pid, kind in zygotes.items():
        children = psutil.Process(pid).children()
        if not wire.READY[kind] - wire.IN_A_ROW[kind] < len(children) <= wire.READY[kind]:
            return False
        if any(each.status() == psutil.STATUS_ZOMBIE for each in children):
            return False
    return True


def _grow(busy: Busy, first: int, then: int) -> None:
    busy.many(first)
    zygotes, pids = busy.zygotes, (*busy.zygotes, os.getpid())
    assert sorted(zygotes.values()) == [wire.COMPILE, wire.RUN]
    wait_for("rest", lambda: at_rest(zygotes))
    before = [held(pid) for pid in pids]
    busy.many(then)
    assert busy.zygotes == zygotes
    wait_for("rest", lambda: at_rest(zygotes))
    for was, pid in zip(before, pids, strict=True):
        now = held(pid)
        assert (now.descriptors, now.threads) == (was.descriptors, was.threads)
        assert now.memory - was.memory < ROOM


def test_hundreds_of_runs_leave_nothing_behind(busy: Busy) -> None:
    _grow(busy, 100, 500)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_runs_leave_nothing_behind(busy: Busy) -> None:
    _grow(busy, 2000, 10_000)
