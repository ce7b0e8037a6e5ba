"""Pause, resume, run now and edit, over the API and a real store; Beat is the test itself, one tick at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import create_app
from tasks.base_tasks import CodeSpec, build_kinds
from tasks.definition import definition
from tasks.model import Status
from tasks.planner import Planner
from tasks.store import Store
from tasks.store.accounts import Accounts
from tasks.submission import Submission
from tasks.task_manager import TaskManager
from tests.make import RecordedBell, code_body, end, http_body, make_settings, put_about, read_about, take

S = Status
EVERY_HOUR = {"task_type": "scheduled", "cron_expression": "0 * * * *"}
ID = "01a20be3-2f7a-77f2-92ee-ad4b7d4e9bd8"


class House:
    """The API over a real store, with a bell that nobody hears."""

    def __init__(self, store: Store, folder: Path) -> None:
        settings = make_settings(folder)
        self.store, self.bell, self.kinds = store, RecordedBell(), build_kinds(settings)
        self.manager = TaskManager(store=store, bell=self.bell, kinds=self.kinds, settings=settings)
        app = create_app(settings, self.manager, self.kinds, Accounts(store.connection))
        self.client: FlaskClient = app.test_client()

    def submit(self, **fields: Any) -> dict[str, Any]:
        answer = self.client.post("/api/tasks", json=http_body(**fields))
        assert answer.status_code == 201, answer.text
        return dict(answer.json)

    def post(self, task: Mapping[str, Any], verb: str) -> TestResponse:
        return self.client.post(f"/api/tasks/{task['id']}/{verb}")

    def patch(self, task: Mapping[str, Any], tag: str | None = None, **fields: Any) -> TestResponse:
        headers = {} if tag is None else {"If-Match": tag}
        return self.client.patch(f"/api/tasks/{task['id']}", json=fields, headers=headers)

    def get(self, task: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self.client.get(f"/api/tasks/{task['id']}").json)

    def runs(self, task: Mapping[str, Any]) -> list[tuple[str, str | None]]:
        """Status and reason of each run, oldest first."""
        found = self.client.get(f"/api/tasks/{task['id']}/runs?limit=500").json["runs"]
        return [(run["status"], run["reason"]) for run in reversed(found)]

    def make_due(self, task: Mapping[str, Any], at: int) -> None:
        """As if the task had waited since `at` (ms)."""
        self.store._redis.command("ZADD", "{tms}:due", at, task["id"])
        self.store._redis.command("HSET", f"{{tms}}:task:{task['id']}", "due", at)

    def beat(self) -> list[str]:
        due = self.store.due(500)
        orders = [Planner().order(schedule, due.now) for schedule in due.schedules]
        return [run for runs in self.store.fire(orders) for run in runs] if orders else []

    def hours_ago(self, hours: int) -> int:
        """A full hour before now, by Redis' clock."""
        return (self.store.due(0).now // 3_600_000 - hours + 1) * 3_600_000


@pytest.fixture
def house(store: Store, tmp_path: Path) -> Iterator[House]:
    house = House(store, tmp_path)
    yield house
    for kind in house.kinds.values():
        kind.close()


# --- pause and resume --------------------------------------------------------------------------------------------


def test_a_paused_task_shows_no_next_run_and_records_what_it_misses(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    paused = house.post(task, "pause")
    assert (paused.status_code, paused.json["status"]) == (200, "paused")
    assert (paused.json["next_run_at"], paused.json["next_runs"]) == (None, [])
    house.make_due(task, house.hours_ago(3))
    assert house.beat() == []
    assert house.runs(task) == [("skipped", "paused")] * 3
    assert house.bell.rung == []
    assert house.client.get("/api/tasks?status=paused").json["total"] == 1


def test_resuming_starts_no_burst_and_goes_on_at_the_next_time(house: House) -> None:
    task = house.submit(**EVERY_HOUR, misfire="all", misfire_limit=1000)
    house.post(task, "pause")
    house.make_due(task, house.hours_ago(3))
    resumed = house.post(task, "resume")
    assert (resumed.status_code, resumed.json["status"]) == (200, "scheduled")
    assert resumed.json["next_run_at"] == task["next_run_at"]
    assert resumed.json["next_runs"] == task["next_runs"]
    assert house.runs(task) == [("skipped", "paused")] * 3
    assert house.beat() == []


def test_a_long_pause_lists_the_newest_and_counts_the_others(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    house.post(task, "pause")
    house.make_due(task, house.hours_ago(1000))
    shown = house.post(task, "resume").json
    assert shown["skipped_unlisted"] + len(house.runs(task)) == 1000
    assert set(house.runs(task)) == {("skipped", "paused")}


def test_pausing_and_resuming_twice_is_fine(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    tags = [house.post(task, verb).headers["ETag"] for verb in ("pause", "pause", "resume", "resume")]
    assert (tags[0], tags[2]) == (tags[1], tags[3])
    assert house.runs(task) == []


def test_a_run_in_progress_goes_on_through_a_pause(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    house.make_due(task, house.hours_ago(1))
    house.beat()
    claim = take(house.store)
    assert house.post(task, "pause").json["status"] == "paused"
    assert end(house.store, claim)
    assert house.runs(task) == [("succeeded", None)]
    assert house.get(task)["status"] == "paused"


def test_a_beat_that_saw_a_task_before_it_was_paused_does_not_fire_it(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    house.make_due(task, house.hours_ago(1))
    seen = house.store.due(10)
    house.post(task, "pause")
    orders = [Planner().order(schedule, seen.now) for schedule in seen.schedules]
    assert house.store.fire(orders) == [[]]
    assert house.runs(task) == []


def test_a_schedule_that_ends_while_paused_is_completed(house: House) -> None:
    task = house.submit(**EVERY_HOUR, end_at="2999-01-01T00:00:00Z")
    house.post(task, "pause")
    about = read_about(house.store, task["id"])
    about["timing"]["end_at"] = "2020-01-01T00:30:00Z"
    put_about(house.store, task["id"], about)
    house.make_due(task, 1_577_836_800_000)
    shown = house.post(task, "resume").json
    assert (shown["status"], shown["reason"], shown["next_run_at"]) == ("completed", "schedule_ended", None)
    assert house.post(task, "resume").status_code == 409


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_only_scheduled_tasks_that_go_on_can_be_paused_and_resumed(house: House, verb: str) -> None:
    for task in (house.submit(), house.submit(task_type="delayed", delay_seconds=60)):
        answer = house.post(task, verb)
        assert (answer.status_code, answer.json["code"]) == (409, "illegal_move")
    stopped = house.submit(**EVERY_HOUR)
    house.post(stopped, "stop")
    assert house.post(stopped, verb).status_code == 409
    assert house.client.post(f"/api/tasks/{ID}/{verb}").status_code == 404


def test_a_paused_task_can_be_stopped_and_deleted(house: House) -> None:
    stopped, deleted = house.submit(**EVERY_HOUR), house.submit(**EVERY_HOUR)
    for task in (stopped, deleted):
        house.post(task, "pause")
    assert house.post(stopped, "stop").json["status"] == "stopped"
    assert house.client.delete(f"/api/tasks/{deleted['id']}").status_code == 204
    assert house.beat() == []


# --- run now -----------------------------------------------------------------------------------------------------


def test_running_now_leaves_the_schedule_as_it_is(house: House) -> None:
    task = house.submit(**EVERY_HOUR, max_runs=5)
    answer = house.post(task, "run")
    assert (answer.status_code, answer.json["status"], answer.json["number"]) == (201, "queued", 1)
    assert house.client.get(answer.headers["Location"]).json["id"] == answer.json["id"]
    assert house.bell.runs == [answer.json["id"]]
    shown = house.get(task)
    assert (shown["status"], shown["next_run_at"], shown["next_runs"]) == (
        "scheduled",
        task["next_run_at"],
        task["next_runs"],
    )
    assert house.store.get(task["id"]).fired == 0


def test_a_paused_task_can_be_run_and_stays_paused(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    house.post(task, "pause")
    assert house.post(task, "run").status_code == 201
    assert house.get(task)["status"] == "paused"


@pytest.mark.parametrize(
    ("overlap", "status", "run"), [("skip", 409, None), ("queue", 201, "scheduled"), ("allow", 201, "queued")]
)
def test_running_now_keeps_to_the_overlap(house: House, overlap: str, status: int, run: str | None) -> None:
    task = house.submit(**EVERY_HOUR, overlap=overlap)
    first = house.post(task, "run").json["id"]
    second = house.post(task, "run")
    assert second.status_code == status
    assert second.json["status" if run else "code"] == (run or "overlap")
    end(house.store, take(house.store, run_id=first))
    assert house.post(task, "run").status_code == (409 if overlap == "skip" and run else 201)


def test_a_delayed_task_starts_its_one_run_early(house: House) -> None:
    task = house.submit(task_type="delayed", delay_seconds=3600)
    assert house.post(task, "run").json["id"] == f"{task['id']}.1"
    shown = house.get(task)
    assert (shown["status"], shown["next_run_at"], shown["run_count"]) == ("queued", None, 1)
    assert house.store.due(10).next_due is None
    assert house.post(task, "run").status_code == 409


def test_a_retry_can_be_brought_forward(house: House) -> None:
    task = house.submit(retry={"max": 1})
    end(house.store, take(house.store), status=S.FAILED, reason="x", retry_after=60_000)
    assert house.get(task)["status"] == "retrying"
    assert house.post(task, "run").json["attempt"] == 1
    assert take(house.store).attempt == 2


def test_the_same_request_again_starts_no_second_run(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    answers = {tuple(house.store._redis.run("run_now", task["id"], "allow", "the same")) for _ in range(3)}
    assert len(answers) == 1
    assert len(house.runs(task)) == 1


def test_what_has_ended_cannot_be_run(house: House) -> None:
    task = house.submit()
    house.post(task, "stop")
    assert house.post(task, "run").status_code == 409
    assert house.client.post(f"/api/tasks/{ID}/run").status_code == 404


# --- edit --------------------------------------------------------------------------------------------------------


def test_an_edit_changes_what_it_names_and_nothing_else(house: House) -> None:
    task = house.submit(**EVERY_HOUR, tags=["a", "b"], retry={"max": 2}, timeout=5)
    answer = house.patch(task, name="another", tags=["c"], api_url="https://example.org/x", overlap="queue")
    assert answer.status_code == 200
    changed = {"name", "tags", "api_url", "overlap", "updated_at"}
    shown = house.get(task)
    assert {name for name in task if shown[name] != task[name]} == changed
    assert house.client.get("/api/tasks?tag=a").json["total"] == 0
    assert house.client.get("/api/tasks?tag=c").json["total"] == 1


def test_null_takes_a_field_back_to_its_default(house: House) -> None:
    task = house.submit(**EVERY_HOUR, timezone="Asia/Shanghai", expires_in=60, priority="high", headers={"x": "y"})
    shown = house.patch(task, timezone=None, expires_in=None, priority=None, headers=None, max_runs=3).json
    assert (shown["timezone"], shown["priority"], shown["headers"], shown["max_runs"]) == ("UTC", "normal", {}, 3)
    assert "expires_in" not in shown
    assert house.patch(task, name=None).json["errors"][0] == {
        "pointer": "/name",
        "code": "missing",
        "message": "is required.",
    }


def test_a_new_time_takes_the_place_of_the_old_one(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    shown = house.patch(task, cron_expression="30 2 * * *", timezone="America/New_York").json
    assert shown["next_run_at"] == shown["next_runs"][0] != task["next_run_at"]
    assert house.store.due(1).next_due == house.store.get(task["id"]).next_run_at


def test_occurrences_that_nobody_fired_are_recorded_when_the_schedule_changes(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    house.make_due(task, house.hours_ago(2))
    house.patch(task, cron_expression="30 2 * * *")
    assert house.runs(task) == [("skipped", "misfire")] * 2


def test_an_edit_that_leaves_the_time_alone_leaves_what_is_due(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    house.make_due(task, house.hours_ago(1))
    assert house.patch(task, name="later").status_code == 200
    assert len(house.beat()) == 1


def test_a_delayed_task_can_be_moved(house: House) -> None:
    task = house.submit(task_type="delayed", delay_seconds=60)
    shown = house.patch(task, run_at="2030-01-01T08:00:00+08:00").json
    assert (shown["next_run_at"], shown["last_run"]["due_at"]) == ("2030-01-01T00:00:00.000Z",) * 2
    assert "delay_seconds" not in shown
    shown = house.patch(task, delay_seconds=3600).json
    assert "run_at" not in shown
    assert 3590_000 < house.store.get(task["id"]).next_run_at - house.store.due(1).now <= 3600_000  # type: ignore[operator]
    due = shown["next_run_at"]
    assert house.patch(task, name="other").json["next_run_at"] == due


def test_all_problems_of_an_edit_are_told_at_once_and_nothing_changes(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    answer = house.patch(
        task, task_type="delayed", cron_expression="nonsense", timezone="Mars", timeout=-1, max_runs=0, colour="red"
    )
    assert answer.status_code == 422
    pointers = {problem["pointer"] for problem in answer.json["errors"]}
    assert pointers == {"/task_type", "/cron_expression", "/timezone", "/timeout", "/max_runs", "/colour"}
    assert house.get(task) == task


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"function_code": "def f(): pass"}, "", "several_kinds"),
        ({"delay_seconds": 5}, "/delay_seconds", "field_of_other_type"),
        ({"task_type": "immediate"}, "/task_type", "not_editable"),
        ({"colour": None}, "/colour", "unknown_field"),
    ],
)
def test_kind_and_type_stay(house: House, fields: dict[str, Any], pointer: str, code: str) -> None:
    task = house.submit(**EVERY_HOUR)
    answer = house.patch(task, **fields)
    assert answer.status_code == 422
    assert (pointer, code) in {(problem["pointer"], problem["code"]) for problem in answer.json["errors"]}


def test_a_code_task_stays_one_even_if_every_field_of_its_kind_is_taken_back(house: House) -> None:
    task = house.client.post("/api/tasks", json=code_body(**EVERY_HOUR)).json
    nothing = dict.fromkeys(CodeSpec.model_fields)
    answer = house.patch(task, **nothing, api_url="https://example.com/")
    assert [problem["code"] for problem in answer.json["errors"]] == ["not_editable"]


def test_max_runs_cannot_fall_below_what_has_run(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    for _ in range(2):
        house.make_due(task, house.hours_ago(1))
        house.beat()
        end(house.store, take(house.store))
    assert house.patch(task, max_runs=2).json["errors"][0]["pointer"] == "/max_runs"
    assert house.patch(task, max_runs=3).status_code == 200


def test_bad_code_is_refused_in_an_edit_as_at_submission(house: House) -> None:
    task = house.client.post("/api/tasks", json=code_body(**EVERY_HOUR)).json
    answer = house.patch(task, function_code="import os\ndef f():\n    return 1")
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "import_not_allowed")
    assert house.patch(task, function_code="def f(a):\n    return a", args=[2]).json["args"] == [2]


def test_an_edit_with_a_stale_tag_changes_nothing(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    tag = house.client.get(f"/api/tasks/{task['id']}").headers["ETag"]
    first = house.patch(task, tag, name="first")
    assert (first.status_code, first.headers["ETag"] != tag) == (200, True)
    second = house.patch(task, tag, name="second")
    assert (second.status_code, second.json["code"]) == (412, "task_changed")
    assert house.get(task)["name"] == "first"
    assert house.patch(task, first.headers["ETag"], name="third").status_code == 200
    assert house.patch(task, "*", name="fourth").status_code == 200
    assert house.patch(task, "W/nonsense", name="fifth").status_code == 412
    now = house.client.get(f"/api/tasks/{task['id']}").headers["ETag"]
    for stale in (f"W/{now}", f"{tag}, W/{now}", f"{now} {now}", f"{now},", '""', '"x"', f"{tag}{now}"):
        assert house.patch(task, stale, name="fifth").status_code == 412, stale
    assert house.patch(task, f'"x" , {tag},W/"y",{now}', name="fourth again").status_code == 200
    house.post(task, "pause")
    assert house.patch(task, first.headers["ETag"], name="sixth").status_code == 412


def test_a_run_does_not_stand_in_the_way_of_an_edit(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    tag = house.client.get(f"/api/tasks/{task['id']}").headers["ETag"]
    house.post(task, "run")
    assert house.client.get(f"/api/tasks/{task['id']}").headers["ETag"] != tag
    assert house.patch(task, tag, name="edited").status_code == 200


def test_two_edits_at_once_lose_none(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    before = house.store.get(task["id"])
    assert house.manager._replace(before, {"name": "first"})
    assert not house.manager._replace(before, {"tags": ["second"]})
    assert house.patch(task, tags=["second"]).json["name"] == "first"


def test_many_edits_at_once_all_count_where_nobody_wants_a_certain_revision(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    with ThreadPoolExecutor(8) as pool:
        edited = pool.map(lambda number: house.manager.edit(task["id"], {"name": f"edit {number}"}), range(40))
    assert {each.name[:4] for each in edited} == {"edit"}
    assert house.store.get(task["id"]).revision == 41


def test_an_edit_whose_answer_was_lost_counts_when_it_is_sent_again(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    words = (task["id"], 1, "normal", "{}", "{}", "[]", "", 0, "", 0, "", "[]", 0, "the same", "")
    assert [house.store._redis.run("edit", *words)[2] for _ in range(3)] == [1, 1, 1]
    assert house.store._redis.run("edit", *words[:-2], "another", "")[2] == 0


def test_what_has_started_or_ended_cannot_be_edited(house: House) -> None:
    for task in (house.submit(), house.submit(**EVERY_HOUR)):
        house.post(task, "stop")
        answer = house.patch(task, name="late")
        assert (answer.status_code, answer.json["code"]) == (409, "illegal_move")
    assert house.client.patch(f"/api/tasks/{ID}", json={"name": "x"}).status_code == 404


def test_an_edit_that_is_no_object_is_refused(house: House) -> None:
    task = house.submit(**EVERY_HOUR)
    answer = house.client.patch(f"/api/tasks/{task['id']}", json=["name"])
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "not_an_object")


def test_the_definition_of_a_task_has_every_field_it_was_submitted_with(house: House) -> None:
    common = {
        "name": "every field",
        "timeout": 7,
        "retry": {"max": 3, "backoff": 2, "factor": 3, "max_delay": 9, "jitter": 0, "on": ["5xx"]},
        "expires_in": 70,
        "callback": {"url": "https://example.com/hook?a=1", "events": ["failed", "lost"]},
        "tags": ["x", "y"],
        "priority": "high",
    }
    cron = {
        **EVERY_HOUR,
        "timezone": "Asia/Tokyo",
        "start_at": "2026-01-01T00:00:00Z",
        "end_at": "2999-01-01T00:00:00Z",
        "max_runs": 9,
        "overlap": "allow",
        "misfire": "all",
        "misfire_limit": 4,
    }
    bodies = [
        http_body(**common, **cron, method="POST", headers={"a": "b"}, params={"q": ["1", "2"]}, json={"k": None}),
        http_body(**common, task_type="delayed", delay_seconds=60, body="text", method="PUT", verify_tls=True),
        http_body(**common, task_type="delayed", delay_seconds=60, form={"a": [1, "b"]}, method="POST"),
        http_body(
            **common, task_type="delayed", run_at="2030-01-01T00:00:00Z", json=None, expected_status=["2xx", 404]
        ),
        code_body(**common, args=[1, None], kwargs={"k": {"deep": []}}),
    ]
    covered: set[str] = set()
    for body in bodies:
        stored = house.store.get(house.client.post("/api/tasks", json=body).json["id"])
        again = definition(stored)
        assert {name: again[name] for name in body} == body
        second = house.manager.submit(json.loads(json.dumps(again)))
        assert definition(house.store.get(second.id)) == again
        covered |= body.keys()
    assert set(Submission.model_fields) <= covered, "a new field: add it to tasks/definition.py and here"
