"""Workers and what they run step back for the API and Redis, in whichever way the kernel shares the processor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tasks import precedence
from tests.integration.service import Service, wait_for

#: How far whatever is started here steps back at the least.
LEAST = os.getpriority(os.PRIO_PROCESS, 0)
LOOP = "def f():\n    while True:\n        pass"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path, WORKER_NICE="7", SANDBOX_CONCURRENCY="2")
    try:
        service.start("redis", "api", "worker", "beat")
        yield service
    finally:
        service.stop()


def below(worker: psutil.Process) -> list[psutil.Process]:
    return [process for process in worker.children(recursive=True) if process.is_running()]


def sessions_of(worker: psutil.Process) -> set[int]:
    """Of the worker, where it has one of its own, and of what it started."""
    found = {os.getsid(process.pid) for process in below(worker)}
    assert len(found) == 2  # all code that runs shares what one session gets, and all that is compiled another's
    return found | ({worker.pid} if os.getsid(worker.pid) == worker.pid else set())


def stands(worker: psutil.Process, back: int) -> bool:
    return {precedence.of_session(session) for session in sessions_of(worker)} == {back}


def test_workers_and_the_code_they_run_are_nicer_than_the_api(service: Service) -> None:
    service.running(service.code(LOOP, timeout=60)["id"])
    worker = psutil.Process(service.processes["worker"].pid)
    wait_for("the zygote and a child", lambda: len(below(worker)) >= 2)
    assert {process.nice() for process in (worker, *below(worker))} == {7}
    for name in ("redis", "api", "beat"):
        assert psutil.Process(service.processes[name].pid).nice() == psutil.Process().nice()


@pytest.mark.skipif(precedence.of_session(os.getpid()) is None, reason="this kernel does not share among sessions")
def test_a_worker_that_keeps_up_stands_where_the_api_does_and_steps_back_when_it_is_behind(service: Service) -> None:
    worker = psutil.Process(service.processes["worker"].pid)
    assert service.finished(service.code("def f():\n    return 1")["id"])["status"] == "succeeded"
    wait_for("nothing to do yet", lambda: stands(worker, LEAST))  # on a busy machine that one may have taken long
    for _ in range(40):
        last = service.code("def f():\n    sum(range(2_000_000))")
    wait_for("runs that wait", lambda: stands(worker, 7))
    service.finished(last["id"])
    wait_for("nothing left to do", lambda: stands(worker, LEAST))


@pytest.mark.skipif(precedence.of_session(os.getpid()) is None, reason="this kernel does not share among sessions")
def test_a_run_that_goes_on_for_long_steps_back(service: Service) -> None:
    worker = psutil.Process(service.processes["worker"].pid)
    task = service.code(LOOP, timeout=60)
    service.running(task["id"])
    wait_for("the second pulse", lambda: stands(worker, 7))
    service.call("POST", f"/api/tasks/{task['id']}/stop")
    wait_for("nothing left to do", lambda: stands(worker, LEAST))
