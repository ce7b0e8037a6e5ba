"""Following tasks over HTTP: live output, server-sent events, and answers that wait for the end."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.integration.service import Service, wait_for

COUNTING = """
def f(seconds):
    import datetime
    for number in range(3):
        print('行', number)
        end = datetime.datetime.now() + datetime.timedelta(seconds=seconds)
        while datetime.datetime.now() < end:
            pass
    return 'done'
"""
QUICK = "def f():\n    print('x')\n    return 42\n"
STREAMS = 2


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service in which two clients at once may follow tasks."""
    service = Service(tmp_path_factory.mktemp("service"), API_THREADS=str(2 * STREAMS), API_PROCESSES="1")
    try:
        service.start("redis", "api", "worker", "beat")
        yield service
    finally:
        service.stop()


def opened(service: Service, task_id: str, last: str | None = None) -> requests.Response:
    headers = {} if last is None else {"Last-Event-ID": last}
    return requests.get(f"{service.url}/api/tasks/{task_id}/events", headers=headers, stream=True, timeout=30)


def events(answer: requests.Response) -> Iterator[tuple[str, str, Any]]:
    """Id, name and data of each event, as they come."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines(chunk_size=1):
        text = line.decode()
        if text == "" and "data" in fields:
            yield fields["id"], fields["event"], json.loads(fields["data"])
            fields = {}
        elif not text.startswith(":"):
            name, _, value = text.partition(": ")
            fields[name] = value


def test_output_is_there_while_the_run_goes_on(service: Service) -> None:
    task = service.code(COUNTING, 0.5)
    seen = wait_for("output", lambda: (now := service.task(task["id"]))["stdout"] and now)
    assert (seen["status"], seen["stdout"]) == ("running", "行 0\n")
    assert service.finished(task["id"])["stdout"] == "行 0\n行 1\n行 2\n"


def test_events_come_as_they_happen_and_end_with_the_run(service: Service) -> None:
    task = service.code(COUNTING, 0.4)
    answer = opened(service, task["id"])
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    seen, moments = [], []
    for event in events(answer):
        seen.append(event)
        moments.append(time.monotonic())
    names = [name for _, name, _ in seen]
    assert names[-2:] == ["status", "end"]
    assert "".join(data["text"] for _, name, data in seen if name == "output") == "行 0\n行 1\n行 2\n"
    assert names.count("output") == 3
    printed = [moment for moment, name in zip(moments, names, strict=True) if name == "output"]
    assert printed[2] - printed[0] > 0.4
    assert seen[-1][2] == {"task_status": "succeeded"}


def test_a_reader_that_was_cut_off_goes_on_where_it_was(service: Service) -> None:
    task = service.code(COUNTING, 0.3)
    first = opened(service, task["id"])
    last, text = "", ""
    for last, name, data in events(first):  # noqa: B007 - the last one is wanted
        if name == "output":
            text += data["text"]
            break
    first.close()
    rest = list(events(opened(service, task["id"], last)))
    text += "".join(data["text"] for _, name, data in rest if name == "output")
    assert text == "行 0\n行 1\n行 2\n"
    assert opened(service, task["id"], rest[-1][0]).status_code == 204


def test_a_reader_without_a_place_is_refused(service: Service) -> None:
    task = service.code(QUICK)
    answer = opened(service, task["id"], "last one")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_last_event_id")
    assert opened(service, "01a20be3-2f7a-77f2-92ee-ad4b7d4e9bd8").json()["code"] == "task_not_found"
    head = service.call("HEAD", f"/api/tasks/{task['id']}/events")
    assert (head.status_code, head.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")


def test_so_many_follow_at_once_and_the_others_are_still_served(service: Service) -> None:
    task = service.code(QUICK, task_type="delayed", delay_seconds=3600)
    held = [opened(service, task["id"]) for _ in range(STREAMS)]
    try:
        refused = opened(service, task["id"])
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert int(refused.headers["Retry-After"]) > 0
        # Whoever would wait is answered at once where there is no seat left.
        answer = submit_and_wait(service, "wait=30", task_type="delayed", delay_seconds=20)
        assert (answer.status_code, answer.headers.get("Preference-Applied")) == (201, None)
        assert service.call("GET", "/api/health").status_code == 200
    finally:
        service.call("POST", f"/api/tasks/{task['id']}/stop")
        for answer in held:
            assert [name for _, name, _ in events(answer)][-1] == "end"
    wait_for("a free seat", lambda: opened(service, task["id"]).status_code == 200)


def test_a_reader_outlives_redis(own_service: Service) -> None:
    own_service.start("redis", "api", "worker")
    task = own_service.code(QUICK, task_type="delayed", delay_seconds=3600)
    answer = opened(own_service, task["id"])
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.extend(name for _, name, _ in events(answer)))
    thread.start()
    wait_for("the first event", lambda: seen)
    own_service.kill("redis")
    own_service.start("redis")
    wait_for("the stop", lambda: own_service.call("POST", f"/api/tasks/{task['id']}/stop").status_code == 200)
    thread.join(20)
    assert not thread.is_alive()
    assert seen == ["status", "status", "end"]


def test_the_api_does_not_wait_for_readers_when_it_ends(own_service: Service) -> None:
    own_service.start("redis", "api")
    task = own_service.code(QUICK, task_type="delayed", delay_seconds=3600)
    answer = opened(own_service, task["id"])
    next(events(answer))
    start = time.monotonic()
    assert own_service.kill("api", signal.SIGTERM) == 0
    assert time.monotonic() - start < 6


def submit_and_wait(service: Service, prefer: str, **fields: Any) -> requests.Response:
    body = {"name": "a task", "task_type": "immediate", "function_code": QUICK, "function_name": "f", **fields}
    return service.call("POST", "/api/tasks", json=body, headers={"Prefer": prefer})


@pytest.mark.parametrize("prefer", ["wait=5", "respond-async, wait=5", 'wait="5"', "wait=5; strict", "WAIT=99999"])
def test_the_answer_waits_for_the_end(service: Service, prefer: str) -> None:
    answer = submit_and_wait(service, prefer)
    assert answer.status_code == 201
    assert (answer.json()["status"], answer.json()["result"], answer.json()["stdout"]) == ("succeeded", 42, "x\n")
    assert answer.headers["Preference-Applied"] in ("wait=5", "wait=60")


def test_the_answer_does_not_wait_for_ever(service: Service) -> None:
    start = time.monotonic()
    answer = submit_and_wait(service, "wait=1", function_code=COUNTING, args=[2])
    assert 0.9 < time.monotonic() - start < 5
    assert (answer.status_code, answer.json()["status"], answer.json()["stdout"]) == (201, "running", "行 0\n")
    assert answer.headers["Preference-Applied"] == "wait=1"


@pytest.mark.parametrize(
    "prefer", ["wait", "wait=", "wait=0", "wait=-1", "wait=1.5", "wait=soon", "wait=٣", "nowait=3", ""]
)
def test_what_cannot_be_meant_is_ignored(service: Service, prefer: str) -> None:
    answer = submit_and_wait(service, prefer.encode().decode("latin-1"), task_type="delayed", delay_seconds=1)
    assert (answer.status_code, answer.headers.get("Preference-Applied")) == (201, None)


@pytest.mark.parametrize(
    "when",
    [
        {"task_type": "scheduled", "cron_expression": "@yearly"},
        {"task_type": "delayed", "delay_seconds": 31},
    ],
)
def test_nobody_waits_for_what_is_due_later(service: Service, when: dict[str, Any]) -> None:
    answer = submit_and_wait(service, "wait=30", **when)
    assert (answer.status_code, answer.headers.get("Preference-Applied")) == (201, None)


def test_an_answer_that_waited_is_replayed_as_it_was(service: Service) -> None:
    body = {"name": "a task", "task_type": "immediate", "function_code": QUICK, "function_name": "f"}
    headers = {"Prefer": "wait=5", "Idempotency-Key": "an-answer-that-waited"}
    first, again = (service.call("POST", "/api/tasks", json=body, headers=headers) for _ in range(2))
    assert first.json()["status"] == "succeeded"
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()
