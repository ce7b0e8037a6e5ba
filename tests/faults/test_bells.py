"""Bells ring ten times, or never: every run is done once all the same."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

import celery_app
from config.settings import load
from tests.integration.service import Service, client_of, wait_for
from tests.integration.sink import Sink

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

QUICK = "def f(n):\n    return n\n"


@pytest.fixture
def bell(service: Service) -> Iterator[celery_app.CeleryBell]:
    """The bell as the API and Beat ring it."""
    app = celery_app.build(load(redis_host="127.0.0.1", redis_port=service.redis_port, data_dir=service.folder / "var"))
    yield app.bell
    app.store.close()
    app.close()


def freeze(service: Service) -> None:
    service.processes["worker"].send_signal(signal.SIGSTOP)


def thaw(service: Service) -> None:
    service.processes["worker"].send_signal(signal.SIGCONT)


def test_ten_bells_for_one_run_are_one_run_whatever_became_of_it(
    service: Service, sink: Sink, bell: celery_app.CeleryBell
) -> None:
    ended = service.finished(service.submit(api_url=f"{sink.url}/ended")["id"])["id"]
    running = service.running(service.submit(api_url=f"{sink.url}/slow/running")["id"])["id"]
    delayed = service.submit(api_url=f"{sink.url}/delayed", task_type="delayed", delay_seconds=2)["id"]
    freeze(service)
    try:
        queued = [service.submit(api_url=f"{sink.url}/queued/{n}")["id"] for n in range(20)]
        codes = [service.code(QUICK, n)["id"] for n in range(20)]
        stopped = service.submit(api_url=f"{sink.url}/stopped")["id"]
        assert service.call("POST", f"/api/tasks/{stopped}/stop").json()["status"] == "stopped"
        deleted = service.submit(api_url=f"{sink.url}/deleted")["id"]
        assert service.call("DELETE", f"/api/tasks/{deleted}").status_code == 204
        every = [ended, running, delayed, *queued, *codes, stopped, deleted]
        for _ in range(10):
            bell.ring([f"{task_id}.1" for task_id in every])
        bell.ring(["no-such-task.1", "rubbish", ""])
    finally:
        thaw(service)
    for task_id in (ended, running, delayed, *queued):
        task = service.finished(task_id)
        assert (task["status"], task["attempt"]) == ("succeeded", 1)
    for number, task_id in enumerate(codes):
        task = service.finished(task_id)
        assert (task["result"], task["attempt"]) == (number, 1)
    done = service.task(delayed)["last_run"]
    assert done["started_at"] >= done["due_at"]
    assert (service.task(stopped)["status"], service.task(stopped)["attempt"]) == ("stopped", 0)
    assert service.call("GET", f"/api/tasks/{deleted}").status_code == 404
    expected = ["/delayed", "/ended", *(f"/queued/{n}" for n in range(20)), "/slow/running"]
    assert sorted(sink.calls) == sorted(expected)


def test_runs_whose_bell_was_lost_are_found(service: Service, sink: Sink) -> None:
    freeze(service)
    try:
        calls = [service.submit(api_url=f"{sink.url}/{n}")["id"] for n in range(20)]
        codes = [service.code(QUICK, n, priority="high")["id"] for n in range(20)]
        with client_of(service.redis_port) as client:
            bells = [key for key in client.keys("{tms}:bell:*") if client.type(key) == "list"]
            assert client.delete(*bells) > 0
    finally:
        thaw(service)
    for task_id in (*calls, *codes):
        task = service.finished(task_id)
        assert (task["status"], task["attempt"]) == ("succeeded", 1)
    assert sorted(sink.calls) == sorted(f"/{n}" for n in range(20))
    wait_for("idle worker", lambda: service.call("GET", "/api/health").json()["workers"][0]["running"] == 0)
