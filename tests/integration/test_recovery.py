"""Processes are killed in mid-run: nothing is lost, nothing runs twice, and everything recovers by itself."""

from __future__ import annotations

import signal
import time

import psutil
import pytest

from tests.integration.service import Service, wait_for
from tests.integration.sink import Sink
from tests.integration.started import gone

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

SLOW = """
def f(seconds):
    import datetime
    end = datetime.datetime.now() + datetime.timedelta(seconds=seconds)
    while datetime.datetime.now() < end:
        pass
    return 'done'
"""
QUICK = "def f():\n    return 'quick'\n"
ENDPOINTS = [
    ("GET", "/api/tasks"),
    ("POST", "/api/tasks"),
    ("GET", "/api/tasks/01a20be3-2f7a-77f2-92ee-ad4b7d4e9bd8"),
    ("POST", "/api/tasks/01a20be3-2f7a-77f2-92ee-ad4b7d4e9bd8/stop"),
    ("DELETE", "/api/tasks/01a20be3-2f7a-77f2-92ee-ad4b7d4e9bd8"),
    ("GET", "/api/tasks/01a20be3-2f7a-77f2-92ee-ad4b7d4e9bd8/runs"),
    ("GET", "/api/health"),
    ("GET", "/api/health/ready"),
]


def test_runs_of_a_killed_worker_are_done_again_or_lost_as_their_kind_allows(own_service: Service, sink: Sink) -> None:
    own_service.start("redis", "api", "worker", "beat")
    code = own_service.running(own_service.code(SLOW, 3)["id"])["id"]
    call = own_service.running(own_service.submit(api_url=f"{sink.url}/hang", timeout=60)["id"])["id"]
    wait_for("the call", lambda: sink.calls)
    zygotes = psutil.Process(own_service.processes["worker"].pid).children(recursive=True)
    own_service.kill("worker")
    waiting = own_service.code(QUICK)["id"]
    own_service.start("worker")
    assert own_service.finished(waiting)["result"] == "quick"
    ended = own_service.finished(code, seconds=60)
    assert (ended["status"], ended["result"], ended["attempt"]) == ("succeeded", "done", 2)
    assert [attempt["status"] for attempt in ended["last_run"]["attempts"]] == ["lost", "succeeded"]
    lost = own_service.finished(call, seconds=60)
    assert (lost["status"], lost["reason"], sink.calls) == ("lost", "worker_lost", ["/hang"])
    assert not [process for process in zygotes if process.is_running() and process.status() != "zombie"]


def test_redis_killed_under_running_tasks_loses_none_of_them(own_service: Service, sink: Sink) -> None:
    own_service.start("redis", "api", "worker", "beat")
    running = [own_service.running(own_service.submit(api_url=f"{sink.url}/slow{n}")["id"])["id"] for n in range(3)]
    code = own_service.code(SLOW, 2)["id"]
    delayed = own_service.code(QUICK, task_type="delayed", delay_seconds=3)["id"]
    own_service.kill("redis")
    time.sleep(2)
    own_service.start("redis")
    for task_id in (*running, code, delayed):
        assert own_service.finished(task_id, seconds=60)["status"] == "succeeded"
    assert sorted(sink.calls) == ["/slow0", "/slow1", "/slow2"]
    assert own_service.finished(own_service.code(QUICK)["id"])["result"] == "quick"
    assert all(own_service.processes[name].poll() is None for name in ("worker", "beat", "api"))


@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL])
def test_without_redis_every_endpoint_says_so_soon_and_works_again_afterwards(
    own_service: Service, fault: signal.Signals
) -> None:
    own_service.start("redis", "api", "worker", "beat")
    redis = own_service.processes["redis"]
    redis.send_signal(fault)
    body = {"name": "t", "task_type": "immediate", "function_code": QUICK, "function_name": "f"}
    for method, path in ENDPOINTS:
        begun = time.monotonic()
        answer = own_service.call(method, path, json=body if method == "POST" else None)
        assert answer.status_code == 503, (method, path, answer.text)
        # The promise of the contract, not a measure of speed: a client must not hang.
        assert time.monotonic() - begun < 3, (method, path)
    assert own_service.call("GET", "/api/health").json()["status"] == "unhealthy"
    assert own_service.call("GET", "/api/health/live").status_code == 200
    if fault is signal.SIGSTOP:
        redis.send_signal(signal.SIGCONT)
    else:
        redis.wait(10)
        own_service.start("redis")
    wait_for("health", lambda: own_service.call("GET", "/api/health").json()["status"] == "healthy")
    assert own_service.finished(own_service.code(QUICK)["id"])["result"] == "quick"
    assert own_service.call("GET", "/api/tasks").json()["total"] == 1


def test_an_api_killed_and_started_again_knows_every_task(own_service: Service) -> None:
    own_service.start("redis", "api", "worker", "beat")
    task_id = own_service.running(own_service.code(SLOW, 2)["id"])["id"]
    api = psutil.Process(own_service.processes["api"].pid)
    servers = api.children(recursive=True)
    own_service.kill("api")
    psutil.wait_procs(servers, timeout=20)
    own_service.start("api")
    assert own_service.finished(task_id)["result"] == "done"


def test_a_schedule_goes_on_after_its_beat_was_killed(own_service: Service) -> None:
    own_service.start("redis", "api", "worker", "beat")
    task_id = own_service.code(QUICK, task_type="scheduled", cron_expression="* * * * * *")["id"]
    wait_for("a run", lambda: own_service.task(task_id)["run_count"] >= 1)
    own_service.kill("beat")
    time.sleep(2)
    own_service.start("beat")
    seen = own_service.task(task_id)["run_count"]
    wait_for("more runs", lambda: own_service.task(task_id)["run_count"] >= seen + 2)
    dues = [run["due_at"] for run in own_service.call("GET", f"/api/tasks/{task_id}/runs?limit=500").json()["runs"]]
    assert len(dues) == len(set(dues))


def test_two_beats_and_two_workers_run_each_occurrence_once(own_service: Service, sink: Sink) -> None:
    own_service.start("redis", "api", "worker", "worker2", "beat")
    own_service.commands = {**own_service.commands, "beat2": own_service.commands["beat"]}
    own_service.start("beat2")
    try:
        url = f"{sink.url}/tick"
        task = own_service.submit(api_url=url, task_type="scheduled", cron_expression="* * * * * *", max_runs=4)
        wait_for("completion", lambda: own_service.task(task["id"])["status"] == "completed")
        runs = own_service.call("GET", f"/api/tasks/{task['id']}/runs").json()["runs"]
        wait_for("the last call", lambda: len(sink.calls) >= 4)
        assert len({run["due_at"] for run in runs}) == len(runs) == len(sink.calls) == 4
    finally:
        own_service.kill("beat2", signal.SIGTERM)


def test_a_worker_that_is_told_to_end_gives_back_what_it_may_and_leaves_nothing(
    own_service: Service, sink: Sink
) -> None:
    own_service.environment["GRACE_SECONDS"] = "1"
    own_service.start("redis", "api", "worker", "beat")
    code = own_service.running(own_service.code(SLOW, 4)["id"])["id"]
    call = own_service.running(own_service.submit(api_url=f"{sink.url}/hang", timeout=60)["id"])["id"]
    children = psutil.Process(own_service.processes["worker"].pid).children(recursive=True)
    assert own_service.kill("worker", signal.SIGTERM) == 0
    wait_for("the end of its processes", lambda: gone({child.pid for child in children}))
    assert own_service.task(code)["status"] == "queued"
    assert (own_service.task(call)["status"], own_service.task(call)["reason"]) == ("lost", "worker_shutdown")
    assert own_service.call("GET", "/api/health").json()["workers"] == []
    own_service.start("worker")
    assert own_service.finished(code)["result"] == "done"
    assert len(sink.calls) == 1
