"""Many submissions at once, all or none; and one that is only looked at."""

from __future__ import annotations

import json
import time
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from tasks import moment
from tasks.errors import StoreUnavailable
from tasks.store import Store
from tests.api import Api, make_api
from tests.make import client_of, code_body, everything, http_body, keys
from tests.valkey import Valkey


def names(api: Api) -> list[str]:
    return [task["name"] for task in api.get("/api/tasks?limit=500").json["tasks"]]


def test_all_are_stored_in_their_order(api: Api) -> None:
    bodies = [
        code_body(name="a"),
        http_body(name="b", priority="high"),
        code_body(name="c", task_type="delayed", delay_seconds=9),
        code_body(name="d", task_type="scheduled", cron_expression="@daily", tags=["x", "y"]),
    ]
    answer = api.post("/api/tasks/batch", {"tasks": bodies})
    assert answer.status_code == 201
    assert [task["name"] for task in answer.json["tasks"]] == ["a", "b", "c", "d"]
    assert names(api) == ["d", "c", "b", "a"]
    for task in answer.json["tasks"]:
        stored = api.get(f"/api/tasks/{task['id']}").json
        assert {name: stored[name] for name in task} == task
    rung = {run_id.removesuffix(".1") for run_id in api.bell.runs}
    assert rung == {task["id"] for task in answer.json["tasks"][:2]}


def test_a_thousand_are_taken_and_one_more_is_not(api: Api) -> None:
    answer = api.post("/api/tasks/batch", {"tasks": [code_body(name=str(number)) for number in range(1000)]})
    assert answer.status_code == 201
    assert api.get("/api/tasks").json["total"] == 1000
    refused = api.post("/api/tasks/batch", {"tasks": [code_body()] * 1001})
    assert refused.status_code == 422
    assert refused.json["errors"][0]["pointer"] == "/tasks"
    assert api.get("/api/tasks").json["total"] == 1000


def test_one_bad_task_refuses_all_and_every_bad_field_has_its_index(api: Api) -> None:
    bodies = [
        code_body(),
        code_body(function_code="import os\ndef f(): pass"),
        http_body(nam="x"),
        code_body(task_type="delayed"),
        7,
    ]
    answer = api.post("/api/tasks/batch", {"tasks": bodies})
    assert answer.status_code == 422
    found = [(error["index"], error["pointer"], error["code"]) for error in answer.json["errors"]]
    assert found == [
        (1, "/tasks/1/function_code", "import_not_allowed"),
        (2, "/tasks/2/nam", "unknown_field"),
        (3, "/tasks/3/delay_seconds", "missing"),
        (4, "/tasks/4", "not_an_object"),
    ]
    assert answer.json["errors"][0]["line"] == 1
    assert keys(api.store) == set()
    assert api.bell.runs == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ({}, "/tasks"),
        ({"tasks": {}}, "/tasks"),
        ({"tasks": []}, "/tasks"),
        ({"tasks": [code_body()], "more": 1}, "/more"),
    ],
)
def test_a_body_that_is_no_batch_is_refused(api: Api, body: Any, pointer: str) -> None:
    answer = api.post("/api/tasks/batch", body)
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)


def test_a_quota_that_some_would_exceed_refuses_all(store: Store, tmp_path: Path) -> None:
    api = make_api(store, tmp_path, quota_tasks=5)
    assert api.post("/api/tasks/batch", {"tasks": [code_body()] * 3}).status_code == 201
    refused = api.post("/api/tasks/batch", {"tasks": [code_body()] * 3})
    assert (refused.status_code, refused.json["code"]) == (429, "quota_exceeded")
    assert api.get("/api/tasks").json["total"] == 3
    assert api.post("/api/tasks/batch", {"tasks": [code_body()] * 2}).status_code == 201
    api.close()


def test_no_more_than_a_hundred_faults_are_told(api: Api) -> None:
    body = {f"x{number}": 1 for number in range(50)}
    answer = api.post("/api/tasks/batch", {"tasks": [body] * 100})
    assert len(answer.json["errors"]) == 100


def test_a_full_redis_stores_all_or_none(tmp_path: Path) -> None:
    with Valkey(tmp_path / "redis") as server, client_of(server.url) as client:
        store = Store(server.url, timeout=5)
        api = make_api(store, tmp_path)
        answers = []
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 400_000)
        for _ in range(20):
            before = set(everything(store))
            answer = api.post("/api/tasks/batch", {"tasks": [code_body(name="n" * 100) for _ in range(40)]})
            answers.append(answer.status_code)
            if answer.status_code == 503:
                assert set(everything(store)) == before
        assert set(answers) == {201, 503}
        client.config_set("maxmemory", 0)
        assert api.get("/api/tasks").json["total"] == 40 * answers.count(201)
        api.close()
        store.close()


def test_a_redis_that_dies_under_a_batch_has_all_or_none_of_it(tmp_path: Path) -> None:
    with Valkey(tmp_path / "redis") as server:
        store = Store(server.url, timeout=2)
        api = make_api(store, tmp_path)
        stored = 0
        for number in range(6):
            server.freeze()
            Timer(0.05 + number / 100, server.kill).start()
            answer = api.post("/api/tasks/batch", {"tasks": [code_body(name="n") for _ in range(300)]})
            assert answer.status_code == 503
            server.start()
            total = api.get("/api/tasks").json["total"]
            assert total in (stored, stored + 300)
            stored = total
        api.close()
        store.close()


def test_a_submission_can_be_tried_without_storing_it(api: Api) -> None:
    answer = api.post("/api/tasks/validate", code_body(task_type="scheduled", cron_expression="0 0 * * *"))
    assert answer.status_code == 200
    told = answer.json
    assert (told["valid"], told["errors"], told["kind"]) == (True, [], "code")
    assert len(told["next_runs"]) == 5
    assert all(moment.endswith("T00:00:00.000Z") for moment in told["next_runs"])
    assert told["task"]["timezone"] == "UTC"
    assert keys(api.store) == {"{tms}:audit"}
    assert api.bell.runs == []
    assert api.post("/api/tasks", told["task"]).status_code == 201


def test_what_is_wrong_is_told_with_line_and_column(api: Api) -> None:
    answer = api.post("/api/tasks/validate", code_body(function_code="def f():\n    open('x')\n    import os\n", nme=1))
    assert (answer.status_code, answer.json["valid"], answer.json["task"]) == (200, False, None)
    found = {(error["pointer"], error.get("line"), error.get("column")) for error in answer.json["errors"]}
    assert found == {("/nme", None, None), ("/function_code", 2, 5), ("/function_code", 3, 5)}


def test_when_a_delayed_task_would_run_is_told(api: Api) -> None:
    before = time.time()
    told = api.post("/api/tasks/validate", code_body(task_type="delayed", delay_seconds=100)).json
    (due,) = told["next_runs"]
    assert before + 99 < moment.parse(due) / 1000 < time.time() + 101


@pytest.mark.parametrize("name", ["batch", "validate"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_not_taken_for_a_task_of_that_name(api: Api, name: str, method: str) -> None:
    answer = api.call(method, f"/api/tasks/{name}")
    assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("body", [None, [], 7])
def test_only_an_object_can_be_tried(api: Api, body: Any) -> None:
    answer = api.call("POST", "/api/tasks/validate", data=json.dumps(body), content_type="application/json")
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "not_an_object")


def test_looking_needs_no_redis(tmp_path: Path) -> None:
    store = Store("redis://127.0.0.1:1/0", timeout=0.5)
    api = make_api(store, tmp_path)
    with pytest.raises(StoreUnavailable):
        store.get("x")
    assert api.post("/api/tasks/validate", code_body()).json["valid"]
    api.close()
    store.close()
