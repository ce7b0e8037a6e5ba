"""Every error has a status, and every wrong request is answered in the one form (RFC 9457)."""

from __future__ import annotations

import http
import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import abort
from werkzeug.test import TestResponse

import api as api_package
import tasks as tasks_package
from api.errors import HTTP_CODES, STATUSES, BadRequest, status_of
from tasks import errors
from tasks.errors import FieldProblem, ServiceError
from tasks.schedule import InvalidSchedule
from tasks.store import Store
from tests.api import Api, make_api
from tests.make import code_body, take
from tests.valkey import Valkey

UNKNOWN = "01a20be3-2f7a-77f2-92ee-ad4b7d4e9bd8"


def every_error(of: type[ServiceError] = ServiceError) -> list[type[ServiceError]]:
    """All subclasses, also those that only modules define which nobody has imported yet."""
    for package in (api_package, tasks_package):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    return [found for each in of.__subclasses__() for found in (each, *every_error(each))]


def problem(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    """The problem that was answered, which must have the one form."""
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json"), answer.text
    told = dict(answer.json)
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(told)
    assert set(told) <= {"type", "title", "status", "detail", "code", "request_id", "errors"}
    assert (told["status"], told["code"]) == (status, code)
    assert (told["type"], told["title"]) == (f"urn:tms:problem:{code}", http.HTTPStatus(status).phrase)
    assert told["request_id"] == answer.headers["X-Request-Id"]
    for each in told.get("errors", ()):
        assert {"pointer", "code", "message"} <= set(each) <= {"pointer", "code", "message", "line", "column"}
    return told


# --- the table ---------------------------------------------------------------------------------------------------


def test_every_error_of_the_domain_has_a_status() -> None:
    domain = {each for each in every_error() if not issubclass(each, BadRequest)}
    assert all(400 <= status_of(each) < 600 for each in domain)
    assert {each for each in domain if each.__module__ == errors.__name__} <= set(STATUSES)
    with pytest.raises(KeyError):
        status_of(ServiceError)


def test_a_finer_error_has_the_status_of_its_base(api: Api) -> None:
    def fail() -> str:
        raise InvalidSchedule([FieldProblem(pointer="/cron_expression", code="c", message="m")])

    api.app.add_url_rule("/planted", "planted", fail)
    assert problem(api.get("/planted"), 422, "invalid_task")["errors"][0]["pointer"] == "/cron_expression"


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [each.code for each in STATUSES]
    assert len(set(codes)) == len(codes)
    assert ServiceError.code not in codes


@pytest.mark.parametrize("error", sorted(STATUSES, key=lambda each: each.code), ids=lambda each: each.code)
def test_every_error_that_is_raised_is_answered_by_the_table(api: Api, error: type[ServiceError]) -> None:
    of_fields = "problems" in inspect.signature(error).parameters

    def fail() -> str:
        if of_fields:
            raise error([FieldProblem(pointer="/a", code="c", message="m", line=2, column=3)])  # type: ignore[arg-type]
        raise error("a sentence")

    api.app.add_url_rule("/planted", "planted", fail)
    told = problem(api.get("/planted"), STATUSES[error], error.code)
    if of_fields:
        assert told["errors"] == [{"pointer": "/a", "code": "c", "message": "m", "line": 2, "column": 3}]
    else:
        assert told["detail"] == "a sentence"


def test_an_error_may_carry_a_code_that_says_more(api: Api) -> None:
    def fail() -> str:
        raise errors.TooMuch("slow down", code="rate_limited", retry_after=7)

    api.app.add_url_rule("/planted", "planted", fail)
    answer = api.get("/planted")
    problem(answer, 429, "rate_limited")
    assert answer.headers["Retry-After"] == "7"


def test_an_error_that_nobody_expected_tells_nothing_and_is_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> str:
        raise RuntimeError("the password is hunter2")

    api.app.add_url_rule("/planted", "planted", fail)
    answer = api.get("/planted")
    problem(answer, 500, "internal_error")
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    assert "hunter2" in caplog.text


@pytest.mark.parametrize(
    "status", [400, 404, 405, 406, 408, 409, 410, 411, 413, 414, 415, 416, 422, 428, 429, 431, 501, 503]
)
def test_what_flask_refuses_has_the_same_form(api: Api, status: int) -> None:
    api.app.add_url_rule("/planted", "planted", lambda: abort(status))
    code = HTTP_CODES[status][0] if status in HTTP_CODES else http.HTTPStatus(status).name.lower()
    problem(api.get("/planted"), status, code)


# --- paths and methods -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/apis/tasks",
        "/api/task",
        "/api/tasks/a/b",
        "/api/tasks/a/runs/b/c",
        "/api/中文",
        "/api/%00",
        "/console",
        "/.env",
        "/api/tasks/../../etc/passwd",
    ],
)
def test_an_unknown_path_is_answered_as_a_problem(api: Api, path: str) -> None:
    problem(api.get(path), 404, "path_not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/tasks", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("DELETE", "/api/tasks", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("POST", f"/api/tasks/{UNKNOWN}", {"DELETE", "GET", "HEAD", "OPTIONS"}),
        ("GET", f"/api/tasks/{UNKNOWN}/stop", {"OPTIONS", "POST"}),
        ("POST", f"/api/tasks/{UNKNOWN}/runs", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/api/health", {"GET", "HEAD", "OPTIONS"}),
        ("TRACE", "/api/tasks", {"GET", "HEAD", "OPTIONS", "POST"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(api: Api, method: str, path: str, allowed: set[str]) -> None:
    answer = api.call(method, path)
    problem(answer, 405, "method_not_allowed")
    assert allowed <= set(answer.headers["Allow"].replace(" ", "").split(","))


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("DELETE", ""), ("POST", "/stop"), ("GET", "/runs"), ("GET", f"/runs/{UNKNOWN}.1")],
)
@pytest.mark.parametrize("task_id", [UNKNOWN, "x", "中文", "%00", "%2e%2e", "1'--", "a" * 3000, "{tms}:tasks"])
def test_an_unknown_task_is_not_found_by_any_call(api: Api, method: str, path: str, task_id: str) -> None:
    told = problem(api.call(method, f"/api/tasks/{task_id}{path}"), 404, "task_not_found")
    assert len(told["detail"]) < 150


def test_a_trailing_slash_is_told_of_and_leads_nowhere_else(api: Api) -> None:
    for answer in (api.get("/api/tasks/"), api.post("/api/tasks/", code_body())):
        assert "slash" in problem(answer, 404, "path_not_found")["detail"]


def test_an_illegal_move_is_a_conflict(api: Api) -> None:
    task = api.submit()
    claim = take(api.store)
    api.store.finish(claim, "w1", status=tasks_package.model.Status.SUCCEEDED, reason="", outcome={"result": 1})
    told = problem(api.post(f"/api/tasks/{task['id']}/stop"), 409, "illegal_move")
    assert "succeeded" in told["detail"]


def test_every_problem_of_a_submission_is_told_with_line_and_column_for_code(api: Api) -> None:
    answer = api.post("/api/tasks", code_body(name="", function_code="def f():\n    import os\n", nmae="x"))
    found = {each["pointer"]: each for each in problem(answer, 422, "invalid_task")["errors"]}
    assert set(found) == {"/name", "/function_code", "/nmae"}
    assert (found["/function_code"]["line"], found["/function_code"]["column"] >= 1) == (2, True)
    assert "line" not in found["/name"]


# --- headers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["abc", "A.b_c:d-9", "x" * 128])
def test_a_request_id_of_the_client_is_used(api: Api, given: str) -> None:
    for path in ("/api/tasks", "/api/none"):
        assert api.get(path, headers={"X-Request-Id": given}).headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "<script>", "中文", "a;b", "a\tb"])
def test_a_request_id_that_could_do_harm_is_replaced(api: Api, given: str) -> None:
    told = api.get("/api/none", headers={"X-Request-Id": given.encode().decode("latin-1")})
    assert told.headers["X-Request-Id"] != given
    assert len(told.headers["X-Request-Id"]) == 32
    assert told.json["request_id"] == told.headers["X-Request-Id"]


@pytest.mark.parametrize("path", ["/api/tasks", "/api/none", "/api/tasks/x", "/api/health"])
def test_every_answer_is_neither_stored_sniffed_nor_framed(api: Api, path: str) -> None:
    headers = api.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"


# --- without Redis -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def api_without_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API whose Redis was there and is gone."""
    folder: Path = tmp_path_factory.mktemp("away")
    with Valkey(folder / "redis") as valkey:
        store = Store(valkey.url, timeout=1)
        api = make_api(store, folder)
        api.submit()
        valkey.kill()
        yield api
        api.close()
        store.close()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/tasks"),
        ("POST", "/api/tasks"),
        ("GET", f"/api/tasks/{UNKNOWN}"),
        ("DELETE", f"/api/tasks/{UNKNOWN}"),
        ("POST", f"/api/tasks/{UNKNOWN}/stop"),
        ("GET", f"/api/tasks/{UNKNOWN}/runs"),
        ("GET", f"/api/tasks/{UNKNOWN}/runs/{UNKNOWN}.1"),
    ],
)
def test_without_redis_every_call_says_when_to_come_back(api_without_redis: Api, method: str, path: str) -> None:
    answer = api_without_redis.call(method, path, json=code_body() if path == "/api/tasks" else None)
    problem(answer, 503, "store_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def test_without_redis_what_needs_none_is_answered(api_without_redis: Api) -> None:
    assert api_without_redis.get("/api/health/live").json == {"status": "alive"}
    problem(api_without_redis.post("/api/tasks", {}), 422, "invalid_task")
    problem(api_without_redis.get("/api/tasks/x"), 404, "task_not_found")


def test_health_and_readiness_without_redis_are_503_and_json(api_without_redis: Api) -> None:
    answer = api_without_redis.get("/api/health")
    assert (answer.status_code, answer.mimetype) == (503, "application/json")
    assert (answer.json["status"], answer.json["redis"]["alive"]) == ("unhealthy", False)
    ready = api_without_redis.get("/api/health/ready")
    assert (ready.status_code, ready.json["status"]) == (503, "unready")


def test_problems_are_utf8_as_typed(api: Api) -> None:
    answer = api.post("/api/tasks", code_body(名字=1))
    assert "/名字".encode() in answer.data
    json.loads(answer.data)
