"""Schedules as JSON: what is exported is imported the same, all or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.store import Store
from tests.api import Api, make_api
from tests.make import code_body, everything, fire_as_seen, http_body

CRON = {"task_type": "scheduled", "cron_expression": "0 2 * * *"}


def exported(api: Api, query: str = "") -> list[dict[str, Any]]:
    answer = api.get(f"/api/tasks/export{query}")
    assert answer.status_code == 200, answer.text
    return list(answer.json["tasks"])


def test_what_is_exported_is_imported_the_same(api: Api) -> None:
    sent = [
        code_body(name="a", **CRON, timezone="Europe/Berlin", tags=["x"], retry={"max": 2}, expires_in=60, max_runs=7),
        http_body(
            name="二", **CRON, headers={"X-A": "b"}, overlap="queue", misfire="all", start_at="2020-01-01T00:00:00Z"
        ),
        http_body(name="c", task_type="scheduled", cron_expression="H H * * *", end_at="2099-01-01T00:00:00+02:00"),
    ]
    for body in sent:
        assert api.post("/api/tasks", body).status_code == 201
    paused = api.post("/api/tasks", code_body(name="d", **CRON)).json["id"]
    api.post(f"/api/tasks/{paused}/pause")
    page = api.get("/api/tasks/export").json
    assert [task["name"] for task in page["tasks"]] == ["d", "c", "二", "a"]
    for task in api.get("/api/tasks").json["tasks"]:
        api.call("DELETE", f"/api/tasks/{task['id']}")
    answer = api.post("/api/tasks/import", page)
    assert answer.status_code == 201, answer.text
    assert [(task["name"], task["status"]) for task in answer.json["tasks"]][:2] == [
        ("d", "paused"),
        ("c", "scheduled"),
    ]
    assert sorted(exported(api), key=str) == sorted(page["tasks"], key=str)
    assert len(answer.json["tasks"]) == len(page["tasks"]) == 4


def test_a_paused_one_fires_nothing_until_it_is_resumed(api: Api, store: Store) -> None:
    (task,) = api.post("/api/tasks/import", {"tasks": [code_body(**CRON, paused=True)]}).json["tasks"]
    assert task["status"] == "paused"
    store.connection.command("ZADD", "{tms}:due", 1, task["id"])
    (seen,) = store.due(10).schedules
    assert seen.status == "paused"
    assert fire_as_seen(store, seen, fire=(), skip=(1,), reason="paused") == []
    assert api.post(f"/api/tasks/{task['id']}/resume").json["status"] == "scheduled"


def test_only_schedules_that_go_on_are_exported(api: Api) -> None:
    api.post("/api/tasks", code_body())
    api.post("/api/tasks", code_body(task_type="delayed", delay_seconds=60))
    stopped = api.post("/api/tasks", code_body(**CRON)).json["id"]
    api.post(f"/api/tasks/{stopped}/stop")
    assert exported(api) == []


def test_pages_hold_all_of_them_once(api: Api) -> None:
    names = [str(number) for number in range(7)]
    for name in names:
        api.post("/api/tasks", code_body(name=name, **CRON, tags=["even" if int(name) % 2 == 0 else "odd"]))
    found, cursor = [], ""
    while True:
        page = api.get(f"/api/tasks/export?limit=2{cursor}").json
        found += [task["name"] for task in page["tasks"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == names[::-1]
    assert {task["name"] for task in exported(api, "?tag=odd")} == {"1", "3", "5"}


def test_every_page_is_small_enough_to_be_imported(store: Store, tmp_path: Path) -> None:
    api = make_api(store, tmp_path, max_body_bytes=100_000)
    try:
        source = "def f():\n    return 1\n#" + "字" * 10_000
        for number in range(9):
            assert api.post("/api/tasks", code_body(name=str(number), function_code=source, **CRON)).status_code == 201
        cursor, count = "", 0
        while cursor is not None:
            answer = api.get(f"/api/tasks/export?limit=500{cursor and f'&cursor={cursor}'}")
            assert answer.json["tasks"]
            imported = api.call("POST", "/api/tasks/import", data=answer.get_data(), content_type="application/json")
            assert imported.status_code == 201
            count += len(answer.json["tasks"])
            cursor = answer.json["next_cursor"]
        assert count == 9
    finally:
        api.close()


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"tasks": [code_body(**CRON), code_body()]}, "/tasks/1/task_type", "invalid"),
        ({"tasks": [code_body(**CRON), code_body(**CRON, paused="yes")]}, "/tasks/1/paused", "wrong_type"),
        ({"tasks": [code_body(**CRON), code_body(**CRON, timeout=-1)]}, "/tasks/1/timeout", "too_small"),
        ({"tasks": [code_body(**CRON), 7]}, "/tasks/1", "not_an_object"),
        ({"tasks": []}, "/tasks", "too_small"),
        ({"tasks": [code_body(**CRON)], "more": 1}, "/more", "unknown_field"),
        ({"next_cursor": None}, "/tasks", "missing"),
        ([], "", "not_an_object"),
    ],
)  # fmt: skip
def test_one_that_is_wrong_stores_none(api: Api, store: Store, body: Any, pointer: str, code: str) -> None:
    before = everything(store)
    answer = api.post("/api/tasks/import", body)
    assert answer.status_code == 422
    assert (pointer, code) in [(error["pointer"], error["code"]) for error in answer.json["errors"]], answer.text
    assert everything(store) == before


def test_an_import_that_is_sent_again_stores_once(api: Api) -> None:
    for _ in range(2):
        headers = {"Idempotency-Key": "an-import"}
        assert api.post("/api/tasks/import", {"tasks": [code_body(**CRON)]}, headers=headers).status_code == 201
    assert len(exported(api)) == 1
