"""Callbacks through the API: what may be asked for, what became of it, and the secret."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from tasks.model import FINISHED
from tasks.store import Store
from tasks.submission import RunEnd
from tests.api import Api, make_api
from tests.make import end, http_body, take

URL = "https://hooks.example.com/tasks"
ALL = ["succeeded", "failed", "timed_out", "stopped", "lost", "expired", "skipped"]


@pytest.fixture
def api(store: Store, tmp_path: Path) -> Iterator[Api]:
    api = make_api(store, tmp_path)
    yield api
    api.close()


def ended(api: Api, **over: Any) -> str:
    """A task with a callback whose run has ended; its id."""
    task = api.submit(callback={"url": URL}, **over)
    end(api.store, take(api.store))
    return str(task["id"])


def test_the_events_are_the_statuses_in_which_a_run_ends() -> None:
    assert set(get_args(RunEnd)) == {str(status) for status in FINISHED}


def test_a_callback_is_shown_with_its_events_and_listings_leave_it_out(api: Api) -> None:
    task = api.submit(callback={"url": URL})
    assert task["callback"] == {"url": URL, "events": ALL}
    assert api.get(f"/api/tasks/{task['id']}").json["callback"] == {"url": URL, "events": ALL}
    assert "callback" not in api.get("/api/tasks").json["tasks"][0]
    assert api.submit(callback={"url": URL, "events": ["lost", "failed", "lost"]})["callback"]["events"] == [
        "lost",
        "failed",
    ]
    assert "callback" not in api.submit(callback=None)


@pytest.mark.parametrize(
    ("callback", "pointer", "code"),
    [
        (URL, "/callback", "wrong_type"),
        ({}, "/callback/url", "missing"),
        ({"url": ""}, "/callback/url", "too_small"),
        ({"url": "https://a/" + "x" * 2048}, "/callback/url", "too_large"),
        ({"url": "ftp://a/"}, "/callback/url", "bad_scheme"),
        ({"url": "https://user:secret@a/"}, "/callback/url", "credentials_in_url"),
        ({"url": "http://127.0.0.1:6379/"}, "/callback/url", "address_not_allowed"),
        ({"url": "http://169.254.169.254/latest"}, "/callback/url", "address_not_allowed"),
        ({"url": "http://localhost/"}, "/callback/url", "address_not_allowed"),
        ({"url": "http://0x7f.1/"}, "/callback/url", "address_not_allowed"),
        ({"url": "http://[::1]/"}, "/callback/url", "address_not_allowed"),
        ({"url": "https://a/\r\nX: y"}, "/callback/url", "bad_url"),
        ({"url": URL, "events": []}, "/callback/events", "too_small"),
        ({"url": URL, "events": ["succeeded", "done"]}, "/callback/events/1", "invalid"),
        ({"url": URL, "events": "succeeded"}, "/callback/events", "wrong_type"),
        ({"url": URL, "events": ["lost"] * 8}, "/callback/events", "too_large"),
        ({"url": URL, "secret": "x"}, "/callback/secret", "unknown_field"),
    ],
)
def test_what_cannot_be_a_callback_is_refused(api: Api, callback: Any, pointer: str, code: str) -> None:
    answer = api.post("/api/tasks", http_body(callback=callback))
    assert answer.status_code == 422, answer.text
    assert [(problem["pointer"], problem["code"]) for problem in answer.json["errors"]] == [(pointer, code)]


def test_a_bad_callback_is_told_with_everything_else(api: Api) -> None:
    answer = api.post("/api/tasks", {"name": "", "api_url": "x", "callback": {"url": "http://10.0.0.1/"}})
    assert {problem["pointer"] for problem in answer.json["errors"]} >= {"/name", "/task_type", "/api_url"}


def test_an_edit_changes_and_removes_it(api: Api) -> None:
    task = api.submit(task_type="scheduled", cron_expression="@daily", callback={"url": URL})

    def patched(callback: Any) -> Any:
        answer = api.call("PATCH", f"/api/tasks/{task['id']}", json={"callback": callback})
        return answer.json if answer.status_code != 200 else answer.json.get("callback")

    assert patched({"url": "https://b.example/", "events": ["lost"]})["url"] == "https://b.example/"
    assert patched({"url": "http://10.1.2.3/"})["code"] == "invalid_task"
    assert api.get("/api/tasks/export").json["tasks"][0]["callback"] == {
        "url": "https://b.example/",
        "events": ["lost"],
    }
    assert patched(None) is None
    assert "callback" not in api.get("/api/tasks/export").json["tasks"][0]


def test_an_export_is_imported_with_its_callback(api: Api) -> None:
    api.submit(task_type="scheduled", cron_expression="@daily", callback={"url": URL, "events": ["failed"]})
    exported = api.get("/api/tasks/export").json
    (made,) = api.post("/api/tasks/import", exported).json["tasks"]
    assert api.get(f"/api/tasks/{made['id']}").json["callback"] == {"url": URL, "events": ["failed"]}


def test_the_log_tells_what_became_of_each(api: Api) -> None:
    task_id = ended(api)
    page = api.get(f"/api/tasks/{task_id}/callbacks").json
    assert (page["total"], page["next_cursor"]) == (1, None)
    (log,) = page["callbacks"]
    assert (log["id"], log["run_id"], log["type"]) == (f"{task_id}_1", f"{task_id}.1", "run.succeeded")
    assert (log["status"], log["tries"], log["tries_made"], log["reason"]) == ("waiting", [], 0, None)
    delivery = api.store.deliveries.claim(lease=1000, most=3, busy=(), busy_owners=())
    assert delivery is not None
    api.store.deliveries.failed(delivery, "gone", {"duration": 0.1, "status_code": 410, "error": "unexpected_status"})
    (log,) = api.get(f"/api/tasks/{task_id}/callbacks").json["callbacks"]
    assert (log["status"], log["reason"], log["next_try_at"], log["tries_made"]) == ("failed", "gone", None, 1)
    assert {key: value for key, value in log["tries"][0].items() if key != "at"} == {
        "number": 1,
        "duration": 0.1,
        "status_code": 410,
        "error": "unexpected_status",
    }
    again = api.post(f"/api/tasks/{task_id}/callbacks/{task_id}.1/redeliver")
    assert (again.status_code, again.json["status"], again.json["tries_made"]) == (202, "waiting", 1)


def test_a_task_without_callbacks_has_an_empty_log(api: Api) -> None:
    task = api.submit()
    end(api.store, take(api.store))
    assert api.get(f"/api/tasks/{task['id']}/callbacks").json == {"callbacks": [], "next_cursor": None, "total": 0}
    assert api.get(f"/api/tasks/{'0' * 8}{task['id'][8:]}/callbacks").json["code"] == "task_not_found"


@pytest.mark.parametrize("run", [".2", ".0", ".x", "", ".1.1", ".99999999999999999", "..", "%00"])
def test_only_what_there_is_can_be_delivered_again(api: Api, run: str) -> None:
    task_id = ended(api)
    answer = api.post(f"/api/tasks/{task_id}/callbacks/{task_id}{run}/redeliver")
    assert (answer.status_code, answer.json["code"]) == (404, "callback_not_found")


def test_the_run_of_another_task_is_not_delivered_again(api: Api) -> None:
    first, second = ended(api), ended(api)
    answer = api.post(f"/api/tasks/{first}/callbacks/{second}.1/redeliver")
    assert (answer.status_code, answer.json["code"]) == (404, "callback_not_found")


def test_what_has_no_callback_any_more_is_not_delivered_again(api: Api) -> None:
    schedule = api.submit(task_type="scheduled", cron_expression="@daily", callback={"url": URL})
    run = api.post(f"/api/tasks/{schedule['id']}/run").json["id"]
    end(api.store, take(api.store))
    api.call("PATCH", f"/api/tasks/{schedule['id']}", json={"callback": None})
    answer = api.post(f"/api/tasks/{schedule['id']}/callbacks/{run}/redeliver")
    assert (answer.status_code, answer.json["code"]) == (409, "illegal_move")


def test_the_secret_is_told_to_its_owner_and_can_be_changed(api: Api) -> None:
    first = api.get("/api/callbacks/secret")
    assert first.headers["Cache-Control"] == "no-store"
    assert first.json["secret"].startswith("whsec_")
    assert (first.json["generation"], first.json["previous_until"]) == (1, None)
    assert api.get("/api/callbacks/secret").json == first.json
    second = api.post("/api/callbacks/secret").json
    assert second["secret"] != first.json["secret"]
    assert (second["generation"], second["previous_until"] is not None) == (2, True)
    assert api.get("/api/callbacks/secret").json == second


def test_metrics_count_callbacks(api: Api) -> None:
    ended(api)
    delivery = api.store.deliveries.claim(lease=1000, most=3, busy=(), busy_owners=())
    assert delivery is not None
    api.store.deliveries.delivered(delivery, {"status_code": 200})
    told = api.get("/metrics").text
    assert 'tms_callbacks_total{end="delivered"} 1.0' in told
    assert "tms_callback_tries_total 1.0" in told
