"""Workers and what they run step back for the API and Redis, in whichever way the kernel shares the processor."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from tasks import precedence
from tests.integration.service import Service, wait_for


def test_workers_and_the_code_they_run_step_back_and_the_api_does_not(tmp_path: Path) -> None:
    service = Service(tmp_path, WORKER_NICE="7")
    try:
        service.start("redis", "api", "worker", "beat")
        service.running(service.code("def f():\n    while True:\n        pass", timeout=60)["id"])
        worker = psutil.Process(service.processes["worker"].pid)

        def below() -> list[psutil.Process]:
            return [process for process in worker.children(recursive=True) if process.is_running()]

        wait_for("the zygote and a child", lambda: len(below()) >= 2)
        assert {process.nice() for process in (worker, *below())} == {7}
        sessions = {os.getsid(process.pid) for process in below()}
        assert len(sessions) == 2  # all code that runs shares what one session gets, and all that is compiled another's
        if precedence.of_session(os.getpid()) is not None:
            assert {precedence.of_session(session) for session in sessions} == {7}
            assert precedence.of_session(os.getsid(worker.pid)) == 7 or os.getsid(worker.pid) != worker.pid
        for name in ("redis", "api", "beat"):
            assert psutil.Process(service.processes[name].pid).nice() == psutil.Process().nice()
    finally:
        service.stop()
