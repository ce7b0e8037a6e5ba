"""Stops and deletions race each other, other verbs and the ends of runs, in every state that a task can be in."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.integration.service import FINISHED, Service, client_of, wait_for
from tests.integration.sink import Sink

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

ENDLESS = "def f():\n    while True:\n        pass\n"
QUICK = "def f(n):\n    return n\n"
NOBODY = "http://127.0.0.1:1/"

State = Callable[[Service, Sink], str]


def scheduled(service: Service, sink: Sink) -> str:
    return str(service.submit(api_url=f"{sink.url}/never", task_type="delayed", delay_seconds=600)["id"])


def running_call(service: Service, sink: Sink) -> str:
    return str(service.running(service.submit(api_url=f"{sink.url}/hang", timeout=60)["id"])["id"])


def running_code(service: Service, sink: Sink) -> str:
    task_id = service.code(ENDLESS, timeout=60)["id"]
    return str(service.running(task_id)["id"])


def queued(service: Service, sink: Sink) -> str:
    """Behind code that fills every slot."""
    for _ in range(8):
        service.code(ENDLESS, timeout=60, tags=["in the way"])
    return str(service.code(QUICK, 1)["id"])


def retrying(service: Service, sink: Sink) -> str:
    task_id = service.submit(api_url=NOBODY, retry={"max": 9, "backoff": 600})["id"]
    wait_for("the retry", lambda: service.task(task_id)["status"] == "retrying")
    return str(task_id)


def succeeded(service: Service, sink: Sink) -> str:
    return str(service.finished(service.submit(api_url=f"{sink.url}/fine")["id"])["id"])


def firing(service: Service, sink: Sink) -> str:
    """A schedule that is due each second, with runs in progress and others behind them."""
    fields = {"task_type": "scheduled", "cron_expression": "* * * * * *", "overlap": "queue"}
    task_id = service.submit(api_url=f"{sink.url}/hang", timeout=60, **fields)["id"]
    wait_for("a run", lambda: service.task(task_id)["run_count"] >= 2)
    return str(task_id)


def paused(service: Service, sink: Sink) -> str:
    task_id = firing(service, sink)
    assert service.call("POST", f"/api/tasks/{task_id}/pause").status_code == 200
    return task_id


STATES: tuple[State, ...] = (
    scheduled,
    running_call,
    running_code,
    queued,
    retrying,
    succeeded,
    firing,
    paused,
)
#: What happens at the same moment.
RACES = (("stop", "stop", "run"), ("stop", "resume", "delete", "pause", "delete"))


def ask(service: Service, task_id: str, verb: str) -> requests.Response:
    if verb == "delete":
        return service.call("DELETE", f"/api/tasks/{task_id}")
    return service.call("POST", f"/api/tasks/{task_id}/{verb}")


def race(service: Service, task_id: str, verbs: tuple[str, ...]) -> dict[str, list[int]]:
    """Ask all at once; the statuses of the answers by verb."""
    start = threading.Barrier(len(verbs))

    def one(verb: str) -> tuple[str, int]:
        start.wait(10)
        return verb, ask(service, task_id, verb).status_code

    with ThreadPoolExecutor(len(verbs)) as pool:
        answers: dict[str, list[int]] = {}
        for verb, status in pool.map(one, verbs):
            answers.setdefault(verb, []).append(status)
    return answers


@pytest.fixture
def cleared(service: Service) -> Iterator[None]:
    """Nothing of a test stays behind."""
    yield
    for task in service.call("GET", "/api/tasks?limit=500").json()["tasks"]:
        ask(service, task["id"], "delete")
    wait_for("idle worker", lambda: idle(service))


def idle(service: Service) -> bool:
    return bool(service.call("GET", "/api/health").json()["workers"][0]["running"] == 0)


def is_gone(service: Service, task_id: str) -> None:
    """Wait until nothing is left of it: a worker that holds its bell gives it back in a moment."""
    try:
        wait_for("nothing of a deleted task", lambda: not what_is_left(service, task_id), seconds=10)
    except AssertionError as error:
        raise AssertionError(what_is_left(service, task_id)) from error


def what_is_left(service: Service, task_id: str) -> list[str]:
    """What Redis still holds of a deleted task, in keys and in sets."""
    with client_of(service.redis_port) as client:
        left = [key for key in client.scan_iter("{tms}:*", count=1000) if task_id in key]
        for key in client.scan_iter("{tms}:*", count=1000, _type="zset"):
            left += [f"{key}: {member}" for member in client.zrange(key, 0, -1) if task_id in member]
    return left


@pytest.mark.parametrize("verbs", RACES, ids=" ".join)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_verbs_that_race_leave_a_task_stopped_or_gone_and_nothing_running(
    service: Service, cleared: None, sink: Sink, state: State, verbs: tuple[str, ...]
) -> None:
    task_id = state(service, sink)
    answers = race(service, task_id, verbs)
    said = {status for statuses in answers.values() for status in statuses}
    assert said <= {200, 201, 202, 204, 404, 409}, answers
    if "delete" in verbs:
        assert 204 in answers["delete"]
        assert service.call("GET", f"/api/tasks/{task_id}").status_code == 404
        is_gone(service, task_id)
    else:
        ended = wait_for("the end", lambda: (task := service.task(task_id))["status"] in FINISHED and task, seconds=10)
        stopped = {200, 202} & set(answers["stop"])
        assert ended["status"] == ("stopped" if stopped else "succeeded")
    before = len(sink.calls)
    time.sleep(0.2)
    assert service.call("GET", f"/api/tasks/{task_id}").status_code == (404 if "delete" in verbs else 200)
    assert len(sink.calls) == before


def test_a_stop_that_races_the_end_of_a_run_is_true_to_its_answer(service: Service, cleared: None, sink: Sink) -> None:
    dice = random.Random(5)

    def one(number: int) -> tuple[dict[str, Any], str, int]:
        work: dict[str, Any] = {"api_url": f"{sink.url}/{number}"}
        if number % 2:
            work = {"function_code": QUICK, "function_name": "f", "args": [number]}
        task = service.submit(**work)
        time.sleep(wait[number])
        verb = "delete" if number % 5 == 0 else "stop"
        return task, verb, ask(service, task["id"], verb).status_code

    wait = [dice.uniform(0, 0.08) for _ in range(120)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(one, range(120)))
    for task, verb, status in found:
        if verb == "delete":
            assert status == 204
            assert service.call("GET", f"/api/tasks/{task['id']}").status_code == 404
            continue
        ended = service.finished(task["id"])
        assert (status, ended["status"]) in {(200, "stopped"), (202, "stopped"), (409, "succeeded")}
        assert ended["reason"] == ("stop_requested" if ended["status"] == "stopped" else None)
    assert len(set(sink.calls)) == len(sink.calls)
    wait_for("idle worker", lambda: idle(service))
    for task, verb, _ in found:
        if verb == "delete":
            is_gone(service, task["id"])
