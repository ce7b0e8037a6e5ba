"""Tasks and runs as clients see them."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from api import representation
from tasks.model import Retry, Run, Status
from tests.api import Api
from tests.make import NOW, code_body, end, fire, http_body, make_task, take

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
S = Status


def run_of(**over: Any) -> Run:
    fields: dict[str, Any] = {"id": "t.1", "task_id": "t", "number": 1, "status": S.QUEUED, "due_at": NOW}
    return Run(**{**fields, **over})


# --- submit and show ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        code_body(),
        code_body(name="中文 👩‍👩‍👧", args=["世界"], kwargs={"名": None}, tags=["标签"], priority="high", timeout=5),
        code_body(task_type="delayed", delay_seconds=60, retry={"max": 1}, expires_in=9),
        code_body(task_type="delayed", run_at="2035-06-01T09:00:00+08:00"),
        code_body(task_type="scheduled", cron_expression="0 8 * * *", timezone="Asia/Shanghai"),
        http_body(params={"a": [1, "2", True]}, method="POST", json={"名": [1.5, None]}, headers={"X-A": "b"}),
        http_body(method="PUT", body="text", expected_status=[200, "3xx"], verify_tls=True, follow_redirects=False),
    ],
)
def test_a_task_comes_back_as_it_was_submitted_and_is_where_location_says(api: Api, body: dict[str, Any]) -> None:
    answer = api.post("/api/tasks", body)
    assert answer.status_code == 201
    task = answer.json
    assert answer.headers["Location"].endswith(f"/api/tasks/{task['id']}")
    shown = api.get(answer.headers["Location"]).json
    assert shown == task
    same = {name: value for name, value in body.items() if name != "retry"}
    assert {name: task[name] for name in same} == same
    if "retry" in body:
        assert task["retry"]["max"] == body["retry"]["max"]


def test_answers_are_utf8_as_typed_and_never_escaped(api: Api) -> None:
    answer = api.post("/api/tasks", code_body(name="你好，世界 👋"))
    assert answer.mimetype == "application/json"
    assert "你好，世界 👋".encode() in answer.data
    assert b"\\u" not in answer.data
    assert "你好，世界 👋".encode() in api.get("/api/tasks").data


def test_moments_are_utc_with_milliseconds(api: Api) -> None:
    task = api.submit(task_type="scheduled", cron_expression="* * * * *")
    moments = [task["created_at"], task["updated_at"], task["next_run_at"], *task["next_runs"]]
    assert all(MOMENT.fullmatch(each) for each in moments)
    assert len(task["next_runs"]) == 5
    assert task["next_runs"][0] == task["next_run_at"]


def test_a_task_that_runs_once_shows_its_run_beside_it_and_a_scheduled_one_its_next_times(api: Api) -> None:
    once, often = api.submit(), api.submit(task_type="scheduled", cron_expression="* * * * *")
    assert set(representation.BESIDE_TASK) <= set(once)
    assert "next_runs" not in once
    assert not set(representation.BESIDE_TASK) & set(often)
    assert often["last_run"] is None


def test_what_came_of_a_run_is_in_the_task_and_in_its_history(api: Api) -> None:
    task = api.submit()
    outcome = {"result": {"值": [1, None]}, "stdout": "印\n", "usage": {"wall": 0.5}}
    end(api.store, take(api.store), outcome=outcome)
    shown = api.get(f"/api/tasks/{task['id']}").json
    assert (shown["status"], shown["result"], shown["stdout"], shown["attempt"]) == (
        "succeeded",
        {"值": [1, None]},
        "印\n",
        1,
    )
    assert {name: shown[name] for name in representation.BESIDE_TASK} == {
        name: shown["last_run"][name] for name in representation.BESIDE_TASK
    }
    page = api.get(f"/api/tasks/{task['id']}/runs").json
    assert (page["runs"], page["total"], page["next_cursor"]) == ([shown["last_run"]], 1, None)
    assert api.get(f"/api/tasks/{task['id']}/runs/{task['id']}.1").json == shown["last_run"]
    missing = api.get(f"/api/tasks/{task['id']}/runs/{task['id']}.2")
    assert (missing.status_code, missing.json["code"]) == (404, "run_not_found")


def test_retry_and_expiry_are_shown_only_where_they_were_submitted() -> None:
    plain = representation.task_detail(make_task())
    assert "retry" not in plain
    assert "expires_in" not in plain
    told = representation.task_detail(make_task(retry=Retry(max=2, on=("5xx",)), expires_in=9))
    assert told["retry"] == {
        "max": 2,
        "backoff": 1.0,
        "factor": 2.0,
        "max_delay": 3600.0,
        "jitter": 0.1,
        "on": ("5xx",),
    }
    assert told["expires_in"] == 9


# --- lists -------------------------------------------------------------------------------------------------------


def test_listings_leave_out_work_and_results(api: Api) -> None:
    task = api.submit()
    end(api.store, take(api.store), outcome={"result": "a result"})
    (shown,) = api.get("/api/tasks").json["tasks"]
    assert shown["id"] == task["id"]
    assert not {"function_code", "args", "result", "last_run", "stdout"} & set(shown)
    assert set(shown) <= set(api.get(f"/api/tasks/{task['id']}").json)


def test_pages_follow_each_other_until_the_cursor_is_null(api: Api) -> None:
    ids = [api.submit(name=f"n{number}")["id"] for number in range(5)]
    seen, cursor = [], ""
    for _ in range(3):
        page = api.get(f"/api/tasks?limit=2{cursor}").json
        seen += [task["id"] for task in page["tasks"]]
        assert page["total"] == 5
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]
    assert page["next_cursor"] is None


def test_filters_apply_together(api: Api) -> None:
    one = api.submit(tags=["a"])
    two = api.submit(tags=["a", "b"], task_type="delayed", delay_seconds=60)
    three = api.post("/api/tasks", http_body(tags=["b"])).json

    def ids(query: str) -> list[str]:
        return [task["id"] for task in api.get(f"/api/tasks?{query}").json["tasks"]]

    assert ids("tag=a") == [two["id"], one["id"]]
    assert ids("tag=b&kind=http") == [three["id"]]
    assert ids("status=scheduled&task_type=delayed&tag=a") == [two["id"]]
    assert ids("name=CALL") == [three["id"]]
    assert ids(f"created_after={three['created_at']}") == []
    assert ids("tag=none") == []


def test_the_history_of_a_schedule_is_paged_newest_first(api: Api) -> None:
    task = api.submit(task_type="scheduled", cron_expression="* * * * *")
    for number in range(1, 4):
        api.store._redis.command("ZADD", "{tms}:due", number, task["id"])
        api.store._redis.command("HSET", f"{{tms}}:task:{task['id']}", "due", number)
        fire(api.store, api.store.get(task["id"]), next_due=NOW * 2)
    first = api.get(f"/api/tasks/{task['id']}/runs?limit=2").json
    assert ([run["number"] for run in first["runs"]], first["total"]) == ([3, 2], 3)
    second = api.get(f"/api/tasks/{task['id']}/runs?limit=2&cursor={first['next_cursor']}").json
    assert ([run["number"] for run in second["runs"]], second["next_cursor"]) == ([1], None)
    assert api.get(f"/api/tasks/{task['id']}/runs?status=succeeded").json == {
        "runs": [],
        "next_cursor": None,
        "total": None,
    }


# --- stop and delete ---------------------------------------------------------------------------------------------


def test_a_waiting_task_is_stopped_with_200_and_a_running_one_with_202(api: Api) -> None:
    waiting = api.submit()
    answer = api.post(f"/api/tasks/{waiting['id']}/stop")
    assert (answer.status_code, answer.json["status"], answer.json["reason"]) == (200, "stopped", "stop_requested")
    assert api.post(f"/api/tasks/{waiting['id']}/stop").status_code == 200
    running = api.submit()
    take(api.store)
    answer = api.post(f"/api/tasks/{running['id']}/stop")
    assert (answer.status_code, answer.json["status"]) == (202, "stopping")


def test_a_deleted_task_is_answered_with_nothing_and_is_gone(api: Api) -> None:
    task = api.submit()
    answer = api.call("DELETE", f"/api/tasks/{task['id']}")
    assert (answer.status_code, answer.data) == (204, b"")
    assert api.get(f"/api/tasks/{task['id']}").status_code == 404
    assert api.get("/api/tasks").json["tasks"] == []


# --- runs --------------------------------------------------------------------------------------------------------


def test_a_run_that_waits_has_no_attempt_yet() -> None:
    shown = representation.run_detail(run_of())
    assert (shown["attempt"], shown["attempts"], shown["duration"], shown["started_at"]) == (0, [], None, None)


def test_a_run_in_progress_shows_its_attempt_as_the_last() -> None:
    shown = representation.run_detail(run_of(status=S.RUNNING, attempt=1, worker="w", started_at=NOW))
    assert [(each["number"], each["status"], each["finished_at"]) for each in shown["attempts"]] == [
        (1, "running", None)
    ]


def test_every_attempt_is_shown_once() -> None:
    lost = {"number": 1, "worker": "w1", "status": "lost", "code": "worker_lost", "started_at": NOW, "finished_at": NOW}
    run = run_of(
        status=S.FAILED,
        attempt=2,
        worker="w2",
        started_at=NOW + 1000,
        finished_at=NOW + 3500,
        attempts=(lost,),
        error={"code": "code_raised"},
    )
    shown = representation.run_detail(run)
    assert [(each["number"], each["worker"], each["status"], each["code"]) for each in shown["attempts"]] == [
        (1, "w1", "lost", "worker_lost"),
        (2, "w2", "failed", "code_raised"),
    ]
    assert shown["duration"] == 2.5
    waiting = dataclasses.replace(run, status=S.RETRYING, attempt=1, error=None)
    assert len(representation.run_detail(waiting)["attempts"]) == 1


def test_a_clock_that_was_set_back_makes_no_negative_duration() -> None:
    assert representation.run_detail(run_of(started_at=NOW, finished_at=NOW - 5))["duration"] == 0


# --- health ------------------------------------------------------------------------------------------------------


def test_health_is_degraded_without_a_worker_or_a_beat_and_healthy_with_both(api: Api) -> None:
    seen = api.get("/api/health")
    assert (seen.status_code, seen.json["status"]) == (200, "degraded")
    about = {"id": "w", "running": 0, "sandbox": {"available": True}}
    api.store.heartbeat("w", about, {"code": 1}, [])
    assert api.get("/api/health").json["status"] == "degraded"
    api.store.tick()
    seen = api.get("/api/health")
    assert (seen.json["status"], seen.json["workers"]) == ("healthy", [about])
    assert set(seen.json) >= {"status", "redis", "workers", "beat", "queues", "sandbox", "version"}
    assert api.get("/api/health/ready").json == {"status": "ready"}


def test_a_worker_that_cannot_contain_code_makes_the_service_degraded(api: Api) -> None:
    api.store.tick()
    api.store.heartbeat("w", {"id": "w", "sandbox": {"available": False}}, {}, [])
    assert api.get("/api/health").json["status"] == "degraded"


def test_a_value_that_is_no_json_is_never_written(api: Api) -> None:
    with pytest.raises(ValueError, match="JSON"):
        api.app.json.dumps({"a": float("nan")})
    assert api.app.json.loads(api.app.json.dumps({"名": [1.5, None]})) == {"名": [1.5, None]}
