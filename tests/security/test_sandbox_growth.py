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
from tasks.sandbox import Sandbox
from tasks.sandbox.host import READY
from tasks.sandbox.zygote import MAX_ENDED
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


def zygotes() -> set[int]:
    """Process ids of all that this process has."""
    children = psutil.Process(os.getpid()).children()
    return {each.pid for each in children if "tasks.sandbox.zygote" in " ".join(each.cmdline())}


class Busy:
    """A sandbox that does one run after the other, of every sort."""

    def __init__(self, sandbox: Sandbox, others: set[int]) -> None:
        """`others` are the zygotes that other tests have."""
        self._sandbox, self._others = sandbox, others

    @property
    def zygote(self) -> int:
        (found,) = zygotes() - self._others
        return found

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


def at_rest(zygote: int) -> bool:
    """Whether the last run's process is gone and the stock is full again."""
    children = psutil.Process(zygote).children()
    return len(children) == READY and all(each.status() != psutil.STATUS_ZOMBIE for each in children)


def _grow(busy: Busy, first: int, then: int) -> None:
    busy.many(first)
    zygote, pids = busy.zygote, (busy.zygote, os.getpid())
    wait_for("rest", lambda: at_rest(zygote))
    before = [held(pid) for pid in pids]
    busy.many(then)
    assert busy.zygote == zygote
    wait_for("rest", lambda: at_rest(zygote))
    for was, pid in zip(before, pids, strict=True):
        now = held(pid)
        assert (now.descriptors, now.threads) == (was.descriptors, was.threads)
        assert now.memory - was.memory < ROOM


def test_hundreds_of_runs_leave_nothing_behind(busy: Busy) -> None:
    _grow(busy, 100, 500)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_runs_leave_nothing_behind(busy: Busy) -> None:
    _grow(busy, 2 * MAX_ENDED, 10_000)
