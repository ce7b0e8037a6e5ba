"""Strange pages, borrowed browsers, JSON bombs, and what would forge a line of the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.store import Store
from tests.api import Api, make_api
from tests.make import code_body, http_body

PAGE = "https://console.example.com"


@pytest.fixture
def api(store: Store, tmp_path: Path) -> Iterator[Api]:
    """A service without tokens, as in development."""
    api = make_api(store, tmp_path)
    yield api
    api.close()


# --- browsers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["localhost:5000", "127.0.0.1:5000", "[::1]:5000", "api", "api:5000", "tms.localhost", "192.168.1.5", "LOCALHOST."],
)
def test_a_service_without_tokens_answers_to_its_own_names(api: Api, host: str) -> None:
    assert api.get("/api/tasks", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5000", "127.0.0.1.evil.example", "localhost.evil.example:5000", "a.b.c."]
)
def test_a_name_that_anybody_could_point_here_is_refused(api: Api, host: str) -> None:
    answer = api.get("/api/tasks", headers={"Host": host})
    assert (answer.status_code, answer.json["code"]) == (403, "host_not_allowed")


def test_the_operator_can_allow_names_and_origins(store: Store, tmp_path: Path) -> None:
    api = make_api(store, tmp_path, allowed_hosts=("tasks.example.com",), cors_origins=(PAGE,))
    assert api.get("/api/tasks", headers={"Host": "tasks.example.com:5000"}).status_code == 200
    assert api.post("/api/tasks", http_body(), headers={"Origin": PAGE}).status_code == 201
    api.close()


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:3000", "http://localhost.evil.example"]
)
def test_a_strange_page_changes_nothing_and_reads_nothing(api: Api, origin: str) -> None:
    task = api.submit()
    for method, path in (
        ("POST", f"/api/tasks/{task['id']}/stop"),
        ("DELETE", f"/api/tasks/{task['id']}"),
        ("GET", "/api/tasks"),
    ):
        answer = api.call(method, path, headers={"Origin": origin})
        assert (answer.status_code, answer.json["code"]) == (403, "origin_not_allowed")
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert api.get(f"/api/tasks/{task['id']}").json["status"] == "queued"


def test_a_page_of_the_service_itself_may_call_it(api: Api) -> None:
    assert api.get("/api/tasks", headers={"Origin": "http://localhost"}).status_code == 200


def test_cors_is_off_by_default_and_on_for_whom_it_is_allowed(store: Store, tmp_path: Path) -> None:
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    closed = make_api(store, tmp_path / "a", auth_required=True)
    assert closed.call("OPTIONS", "/api/tasks", headers=asked).status_code == 403
    closed.close()
    api = make_api(store, tmp_path / "b", auth_required=True, cors_origins=(PAGE,))
    allowed = api.call("OPTIONS", "/api/tasks", headers=asked)
    assert (allowed.status_code, allowed.headers["Access-Control-Allow-Origin"]) == (204, PAGE)
    assert "Authorization" in allowed.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in allowed.headers
    assert allowed.headers["Vary"] == "Origin"
    other = api.call("OPTIONS", "/api/tasks", headers={**asked, "Origin": f"{PAGE}.evil.example"})
    assert (other.status_code, other.headers.get("Access-Control-Allow-Origin")) == (403, None)
    refused = api.get("/api/tasks", headers={"Origin": PAGE})
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, PAGE)
    api.close()


@pytest.mark.parametrize(
    "origin", ["*", "console.example.com", "https://a.example/", "https://a.example/x", "null", "ftp://a"]
)
def test_what_is_no_origin_is_no_setting(store: Store, tmp_path: Path, origin: str) -> None:
    with pytest.raises(Exception, match="CORS_ORIGINS"):
        make_api(store, tmp_path, cors_origins=(origin,))


def test_every_answer_is_dressed_and_sets_no_cookie(api: Api) -> None:
    for answer in (
        api.get("/api/health"),
        api.get("/api/nowhere"),
        api.post("/api/tasks", {}),
        api.submit and api.get("/api/docs"),
    ):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "text/json"]
)
def test_only_json_is_taken_so_that_a_form_cannot_send_it(api: Api, kind: str) -> None:
    answer = api.call("POST", "/api/tasks", data='{"name": "x"}', content_type=kind)
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")


MARKUP = "<script>alert(1)</script>"


def test_what_is_sent_never_comes_back_as_html(api: Api) -> None:
    answers = [
        api.get(f"/api/{MARKUP}"),
        api.get(f"/api/tasks/{MARKUP}"),
        api.get(f"/api/tasks?{MARKUP}={MARKUP}"),
        api.post("/api/tasks", {MARKUP: MARKUP}),
        api.get(f"/api/docs/{MARKUP}"),
        api.get(f"/{MARKUP}", headers={"Accept": "text/html"}),
        api.call("POST", "/api/tasks", data=MARKUP, content_type="application/json"),
    ]
    for answer in answers:
        assert answer.status_code >= 400
        assert answer.content_type == "application/problem+json"


# --- bodies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"a":' * 50_000,
        "[" * 500_000 + "]" * 500_000,
        '{"name": ' + "9" * 500_000 + "}",
        '{"x": NaN}',
        '{"x": -Infinity}',
        '{"name": "a", "name": "b"}',
        '{"args": {"a": 1, "a": 2}}',
        '"\\ud800"',
        "",
        "\x00",
        "{'a': 1}",
        '{"a": 1,}',
        "\ufeff{}",
        '{"a": 1} {"b": 2}',
        '{"a": 01}',
        "// {}",
    ],
    ids=lambda body: body[:12],
)
def test_json_bombs_and_what_two_parsers_read_differently_are_refused(api: Api, body: str) -> None:
    answer = api.call("POST", "/api/tasks", data=body.encode(), content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (400, "malformed_json")
    assert len(answer.data) < 1000


@pytest.mark.parametrize(
    "fields",
    [
        {"delay_seconds": 1e308, "task_type": "delayed"},
        {"timeout": 10**30},
        {"retry": {"max": 10**18}},
        {"kwargs": {"a": [[[[[[0]]]]]]}, "max_runs": -1},
        {"name": "x" * 100_000},
        {"tags": ["x"] * 10_000},
    ],
    ids=str,
)
def test_numbers_and_texts_beyond_their_bounds_are_refused(api: Api, fields: dict[str, object]) -> None:
    answer = api.post("/api/tasks", code_body(**fields))
    assert answer.status_code in (400, 422), answer.text[:200]
    assert len(answer.data) < 20_000


def test_a_body_beyond_its_bound_is_refused(store: Store, tmp_path: Path) -> None:
    api = make_api(store, tmp_path, max_body_bytes=2000)
    answer = api.call("POST", "/api/tasks", data=b'"' + b"x" * 3000 + b'"', content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")
    api.close()


# --- the log -----------------------------------------------------------------------------------------------------

FORGED = "x\n2026-01-01T00:00:00.000Z INFO [api] all is well\r\x1b[2J\u2028"


def test_nothing_that_is_sent_forges_a_line_of_the_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    api.post("/api/tasks", code_body(name=FORGED))
    api.post("/api/users", {"username": FORGED, "password": FORGED})
    api.post("/api/auth/login", {"username": FORGED, "password": FORGED})
    api.get("/api/tasks/" + "x%0a2026 INFO all is well")
    answer = api.get("/api/health", headers={"X-Request-Id": "a b;c=<d>"})
    assert answer.headers["X-Request-Id"] != "a b;c=<d>"
    for record in caplog.records:
        assert "all is well" not in record.getMessage()
