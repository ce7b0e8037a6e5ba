"""Tasks of every type and kind, through real processes."""

from __future__ import annotations

import time

import psutil

from tests.integration.service import Service, wait_for
from tests.integration.sink import Sink

ENDLESS = "def f():\n    n = 0\n    while True:\n        n = n + 1\n"


def test_a_function_gets_its_arguments_and_gives_its_result(service: Service) -> None:
    source = "def f(a, b, *, name):\n    print('你好', name)\n    return {'sum': a + b, '名': name}\n"
    task = service.code(source, 2, 3, kwargs={"name": "小明"}, name="计算任务")
    task = service.finished(task["id"])
    assert (task["status"], task["result"]) == ("succeeded", {"sum": 5, "名": "小明"})
    assert (task["stdout"], task["name"], task["error"]) == ("你好 小明\n", "计算任务", None)
    assert task["duration"] >= 0
    assert task["attempt"] == 1
    assert task["finished_at"].endswith("Z")


def test_an_exception_comes_back_with_the_users_own_line(service: Service) -> None:
    task = service.code("def g(x):\n    return 1 / x\n\ndef f():\n    print('before')\n    return g(0)\n")
    task = service.finished(task["id"])
    assert (task["status"], task["reason"], task["stdout"]) == ("failed", "code_raised", "before\n")
    assert task["error"]["line"] == 2
    assert "ZeroDivisionError" in task["error"]["message"] + task["error"]["traceback"]
    assert "tasks/" not in task["error"]["traceback"]


def test_a_function_that_never_ends_is_timed_out(service: Service) -> None:
    task = service.finished(service.code(ENDLESS, timeout=1)["id"])
    assert (task["status"], task["reason"]) == ("timed_out", "timed_out")
    assert 0.9 <= task["duration"] < 5


def test_a_task_may_lower_its_own_limits_and_never_raise_them(service: Service) -> None:
    hungry = "def f():\n    return len(bytearray(64 * 1024 * 1024))\n"
    assert service.finished(service.code(hungry)["id"])["result"] == 64 * 1024 * 1024
    tight = service.code(hungry, limits={"memory_mb": 32})
    assert tight["limits"] == {"memory_mb": 32}
    assert service.finished(tight["id"])["error"]["code"] == "memory_limit"
    endless = service.code("def f():\n    while True:\n        pass\n", limits={"cpu_seconds": 1})
    ended = service.finished(endless["id"])
    assert ended["error"]["code"] == "cpu_limit"
    assert ended["last_run"]["usage"]["cpu"] > 0.5
    body = {"name": "n", "task_type": "immediate", "function_name": "f", "function_code": hungry}
    answer = service.call("POST", "/api/tasks", json={**body, "limits": {"memory_mb": 10**6, "cpu_seconds": 0}})
    assert (answer.status_code, [error["pointer"] for error in answer.json()["errors"]]) == (
        422,
        ["/limits/cpu_seconds"],
    )
    answer = service.call("POST", "/api/tasks", json={**body, "limits": {"memory_mb": 10**6}})
    assert "SANDBOX_MEMORY_MB" in answer.json()["errors"][0]["message"]


def test_an_http_task_gives_the_answer(service: Service, sink: Sink) -> None:
    task = service.submit(api_url=f"{sink.url}/get", headers={"User-Agent": "TaskManagementSystem/1.0"}, timeout=30)
    task = service.finished(task["id"])
    assert task["status"] == "succeeded", task["error"]
    assert task["result"]["status_code"] == 200
    assert task["result"]["json"] == {"hello": "world"}
    assert sink.calls == ["/get"]


def test_a_delayed_task_runs_when_its_time_has_come_and_not_before(service: Service) -> None:
    task = service.code("def f():\n    return 'late'\n", task_type="delayed", delay_seconds=2)
    assert (task["status"], task["run_count"]) == ("scheduled", 1)
    ended = service.finished(task["id"])
    assert ended["result"] == "late"
    assert ended["last_run"]["started_at"] >= task["next_run_at"]


def test_a_schedule_fires_again_and_again_and_stops(service: Service) -> None:
    task = service.code("def f():\n    return 1\n", task_type="scheduled", cron_expression="* * * * * *")
    wait_for("three runs", lambda: service.task(task["id"])["run_count"] >= 3)
    stopped = service.call("POST", f"/api/tasks/{task['id']}/stop")
    assert stopped.status_code in (200, 202)
    wait_for("the stop", lambda: service.task(task["id"])["status"] == "stopped")
    count = service.task(task["id"])["run_count"]
    time.sleep(2.2)
    runs = service.call("GET", f"/api/tasks/{task['id']}/runs").json()
    assert runs["total"] == count == len(runs["runs"])
    dues = [run["due_at"] for run in runs["runs"]]
    assert len(set(dues)) == count
    assert all(due.endswith(".000Z") for due in dues)


def test_a_stop_ends_an_endless_run_at_once_and_leaves_the_worker_alone(service: Service) -> None:
    task = service.running(service.code(ENDLESS, timeout=60)["id"])
    before = {child.pid for child in psutil.Process(service.processes["worker"].pid).children(recursive=True)}
    answer = service.call("POST", f"/api/tasks/{task['id']}/stop")
    assert answer.status_code in (200, 202)
    task = service.finished(task["id"], seconds=5)
    assert (task["status"], task["reason"]) == ("stopped", "stop_requested")
    assert service.processes["worker"].poll() is None
    assert before
    again = service.call("POST", f"/api/tasks/{task['id']}/stop")
    assert (again.status_code, again.json()["status"]) == (200, "stopped")


def test_a_stop_closes_a_call_that_hangs(service: Service, sink: Sink) -> None:
    task = service.running(service.submit(api_url=f"{sink.url}/hang", timeout=60)["id"])
    wait_for("the call", lambda: sink.calls)
    service.call("POST", f"/api/tasks/{task['id']}/stop")
    assert service.finished(task["id"], seconds=5)["status"] == "stopped"


def test_stopping_what_has_ended_is_refused(service: Service) -> None:
    task = service.finished(service.code("def f():\n    return 1\n")["id"])
    answer = service.call("POST", f"/api/tasks/{task['id']}/stop")
    assert answer.status_code == 409
    assert answer.json()["code"] == "illegal_move"
    assert "succeeded" in answer.json()["detail"]


def test_a_deleted_running_task_is_ended_and_gone(service: Service) -> None:
    task = service.running(service.code(ENDLESS, timeout=60)["id"])
    assert service.call("DELETE", f"/api/tasks/{task['id']}").status_code == 204
    assert service.call("GET", f"/api/tasks/{task['id']}").status_code == 404
    wait_for("idle worker", lambda: service.call("GET", "/api/health").json()["workers"][0]["running"] == 0)
    ids = [each["id"] for each in service.call("GET", "/api/tasks?limit=500").json()["tasks"]]
    assert task["id"] not in ids


def test_http_tasks_go_on_while_every_sandbox_slot_is_busy(service: Service, sink: Sink) -> None:
    endless = [service.code(ENDLESS, timeout=60)["id"] for _ in range(6)]
    task = service.finished(service.submit(api_url=f"{sink.url}/get")["id"], seconds=10)
    assert task["status"] == "succeeded"
    for task_id in endless:
        assert service.call("DELETE", f"/api/tasks/{task_id}").status_code == 204


def test_many_tasks_at_once_each_run_exactly_once(service: Service, sink: Sink) -> None:
    ids = [service.submit(api_url=f"{sink.url}/{number}")["id"] for number in range(120)]
    ended = [service.finished(task_id) for task_id in ids]
    assert {task["status"] for task in ended} == {"succeeded"}
    assert sorted(sink.calls) == sorted(f"/{number}" for number in range(120))


def test_a_high_priority_task_overtakes_those_that_wait(service: Service) -> None:
    slow = "def f():\n    n = 0\n    for i in range(3000000):\n        n = n + i\n    return n\n"
    normal = [service.code(slow)["id"] for _ in range(12)]
    urgent = service.code(slow, priority="high")["id"]
    urgent_end = service.finished(urgent, seconds=60)["finished_at"]
    ends = [service.finished(task_id, seconds=60)["finished_at"] for task_id in normal]
    assert urgent_end < max(ends)
