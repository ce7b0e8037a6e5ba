"""However a run, its worker or the sandbox's zygote ends: no process stays behind, and the next run is right."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tasks.sandbox import wire
from tests.integration.service import Service, wait_for

LOOP = "def f():\n    print('started')\n    while True: pass"


def below(pid: int) -> set[int]:
    """Every process below this one, zombies too."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return {child.pid for child in psutil.Process(pid).children(recursive=True)}
    return set()


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


class Watched:
    """A service whose processes below the worker are looked at."""

    def __init__(self, service: Service) -> None:
        self.service = service

    @property
    def worker(self) -> int:
        return self.service.processes["worker"].pid

    def zygote_of(self, kind: str) -> int:
        """The zygote whose children are of this kind."""
        (found,) = [child.pid for child in psutil.Process(self.worker).children() if kind in child.cmdline()]
        return found

    @property
    def zygote(self) -> int:
        """The one whose children run code."""
        return self.zygote_of(wire.RUN)

    def busy(self) -> int:
        """The process of the one run that is going on, once it has used some processor time."""

        def find() -> int | None:
            for pid in below(self.zygote):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if psutil.Process(pid).cpu_times().user > 0.2:
                        return pid
            return None

        return int(wait_for("a busy child", find))

    def at_rest(self) -> bool:
        """Two zygotes and the children they keep ready, none of them a zombie."""
        with contextlib.suppress(psutil.NoSuchProcess):
            states = {psutil.Process(pid).status() for pid in below(self.worker)}
            zygotes = {kind: below(self.zygote_of(kind)) for kind in (wire.COMPILE, wire.RUN)}
            full = all(
                wire.READY[kind] - wire.IN_A_ROW[kind] < len(found) <= wire.READY[kind]
                for kind, found in zygotes.items()
            )
            return full and psutil.STATUS_ZOMBIE not in states
        return False

    def is_right(self) -> None:
        """An honest run works, and afterwards all is as before."""
        done = self.service.finished(self.service.code("def f(a): return a * 2", 21)["id"])
        assert done["result"] == 42, (done["error"], done["stdout"])
        wait_for("rest", self.at_rest)


@pytest.fixture(scope="module")
def watched(service: Service) -> Watched:
    watched = Watched(service)
    watched.is_right()
    return watched


def _stop(service: Service, task_id: str) -> None:
    assert service.call("POST", f"/api/tasks/{task_id}/stop").status_code in (200, 202)


def _delete(service: Service, task_id: str) -> None:
    assert service.call("DELETE", f"/api/tasks/{task_id}").status_code == 204


@pytest.mark.parametrize("end", [_stop, _delete])
def test_a_run_that_is_stopped_leaves_no_process(watched: Watched, end: Callable[[Service, str], None]) -> None:
    task = watched.service.code(LOOP)
    child = watched.busy()
    end(watched.service, task["id"])
    wait_for("the end of the child", lambda: not exists(child), seconds=5)
    watched.is_right()


def test_a_run_that_takes_too_long_leaves_no_process(watched: Watched) -> None:
    task = watched.service.code(LOOP, timeout=5)  # time enough to be seen at work on a busy machine
    child = watched.busy()
    assert watched.service.finished(task["id"])["status"] == "timed_out"
    assert not exists(child)
    watched.is_right()


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    raise ValueError",
        "def f():\n    return [0] * 10**10",
        "def f():\n    x = ()\n    for _ in range(500_000): x = (x,)\n    return hash(x)",
        "def f():\n    print('x' * 10_000_000)\n    return 1",
        "x = (\n",
    ],
)
def test_a_run_that_ends_by_itself_leaves_no_process(watched: Watched, source: str) -> None:
    fields = {"name": "a task", "task_type": "immediate", "function_code": source, "function_name": "f"}
    answer = watched.service.call("POST", "/api/tasks", json=fields)
    if answer.status_code == 201:
        watched.service.finished(answer.json()["id"])
    wait_for("rest", watched.at_rest)


def test_a_zygote_that_is_killed_takes_its_children_along_and_is_replaced(watched: Watched) -> None:
    task = watched.service.code(LOOP)
    watched.busy()
    old = {watched.zygote, *below(watched.zygote)}
    os.kill(watched.zygote, signal.SIGKILL)
    ended = watched.service.finished(task["id"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", "sandbox_unavailable")
    assert ended["stdout"] == "started\n"
    watched.is_right()
    wait_for("the end of all that were", lambda: not any(exists(pid) for pid in old), seconds=5)


def test_a_run_whose_process_is_killed_is_tried_again_where_the_task_says_so(watched: Watched) -> None:
    source = "def f():\n    n = 0\n    while n < 40_000_000: n += 1\n    return n"
    once = watched.service.code(LOOP)
    os.kill(watched.busy(), signal.SIGKILL)
    assert watched.service.finished(once["id"])["error"]["code"] == "memory_limit"
    again = watched.service.code(source, timeout=100, retry={"max": 1, "backoff": 0})
    os.kill(watched.busy(), signal.SIGKILL)
    ended = watched.service.finished(again["id"], seconds=100)
    assert (ended["status"], ended["result"], ended["attempt"]) == ("succeeded", 40_000_000, 2)
    watched.is_right()


def test_a_zygote_that_is_killed_between_two_runs_is_noticed_by_nobody(watched: Watched) -> None:
    os.kill(watched.zygote, signal.SIGKILL)
    for _ in range(3):
        watched.is_right()


def test_a_zygote_that_hangs_is_replaced(watched: Watched) -> None:
    hung = watched.zygote
    os.kill(hung, signal.SIGSTOP)
    for number in range(wire.READY[wire.RUN] + 1):  # as many as were ready, and one that must be made
        task = watched.service.code("def f(a): return a", number)
        assert watched.service.finished(task["id"], seconds=60)["result"] == number
    wait_for("the end of the zygote that hung", lambda: not exists(hung), seconds=20)
    watched.is_right()


def _shut_down(service: Service) -> None:
    assert service.kill("worker", signal.SIGTERM) == 0


def _kill(service: Service) -> None:
    service.kill("worker")


@pytest.mark.parametrize("end", [_shut_down, _kill])
def test_a_worker_that_ends_leaves_no_process(own_service: Service, end: Callable[[Service], None]) -> None:
    own_service.environment["GRACE_SECONDS"] = "1"
    own_service.start("redis", "api", "worker")
    watched = Watched(own_service)
    watched.is_right()
    task = own_service.code(LOOP)
    watched.busy()
    everything = below(watched.worker)
    end(own_service)
    wait_for("the end of all below the worker", lambda: not any(exists(pid) for pid in everything), seconds=5)
    assert own_service.task(task["id"])["status"] in ("queued", "running")


def test_an_api_that_is_killed_leaves_no_process(own_service: Service) -> None:
    own_service.start("redis", "api", "worker")
    api = own_service.processes["api"].pid
    own_service.code("def f(): return 1")
    everything = below(api)
    zygotes = [pid for pid in everything if "tasks.sandbox.zygote" in " ".join(psutil.Process(pid).cmdline())]
    assert zygotes
    own_service.kill("api")
    wait_for("the end of all below the API", lambda: not any(exists(pid) for pid in everything), seconds=15)
