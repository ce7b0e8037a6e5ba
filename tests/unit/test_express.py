"""The express lane: what takes it, and that nobody can tell which way a submission went."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from api.express import FAULT, plain
from tasks.errors import InvalidTask, StoreUnavailable, TooMuch
from tasks.store import Store
from tests.api import Api, make_api
from tests.make import code_body, http_body

HEADERS = {"Host": "localhost", "Content-Type": "application/json"}
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def request(body: Any, line: str = "POST /api/tasks HTTP/1.1", **headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {**HEADERS, "Content-Length": str(len(content)), **headers}
    return "\r\n".join([line, *(f"{name}: {value}" for name, value in given.items()), "", ""]).encode() + content


def asked(api: Api, data: bytes) -> Any:
    lane = api.app.express
    assert lane is not None
    plain = lane.read(data, "127.0.0.1")
    return None if plain is None else lane.answer([plain])[0]


def without_names(text: str) -> str:
    """A text without what is another with each request."""
    return MOMENT.sub("MOMENT", ID.sub("ID", text))


def told(answer: bytes) -> tuple[dict[str, str], str]:
    head, _, body = answer.decode().partition("\r\n\r\n")
    return dict(line.split(": ", 1) for line in head.split("\r\n")), body


@pytest.mark.parametrize(
    "body",
    [
        code_body(),
        code_body(name="über", tags=["ä", "b"], priority="high", kwargs={"x": [1, 2.5, None]}),
        code_body(task_type="delayed", delay_seconds=60, retry={"max": 3}, expires_in=5, timeout=2),
        code_body(task_type="scheduled", cron_expression="*/5 * * * *", timezone="Asia/Shanghai", max_runs=3),
        http_body(callback={"url": "https://example.com/", "events": ["failed"]}),
    ],
)
def test_both_ways_answer_note_and_store_the_same(api: Api, body: dict[str, Any]) -> None:
    headers, text = told(asked(api, request(body, **{"X-Request-Id": "one"})))
    long = api.post("/api/tasks", body, headers={"X-Request-Id": "one"})
    assert long.status == "201 CREATED"
    assert without_names(text) == without_names(long.text)
    assert {k: without_names(v) for k, v in headers.items()} == {k: without_names(v) for k, v in long.headers.items()}
    ids = [json.loads(text)["id"], long.json["id"]]
    assert headers["Location"] == f"/api/tasks/{ids[0]}"
    stored = [without_names(api.get(f"/api/tasks/{each}").text) for each in ids]
    assert stored[0] == stored[1]
    entries = [
        {k: v for k, v in each.items() if k not in ("id", "at")} for each in api.get("/api/audit").json["entries"]
    ]
    assert [entry.pop("target") for entry in entries] == ids[::-1]
    assert entries[0] == entries[1]


def test_a_request_without_an_id_gets_one(api: Api) -> None:
    headers, _ = told(asked(api, request(code_body())))
    assert re.fullmatch("[0-9a-f]{32}", headers["X-Request-Id"])


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer x"},
        {"X-API-Key": "tms_x"},
        {"Idempotency-Key": "x"},
        {"Prefer": "wait=5"},
        {"Origin": "http://localhost"},
        {"Cookie": "a=b"},
        {"Expect": "100-continue"},
        {"Transfer-Encoding": "identity"},
        {"Content-Encoding": "identity"},
        {"Upgrade": "h2c"},
        {"X-Forwarded-For": "192.0.2.1"},
        {"Connection": "close"},
        {"Connection": "keep-alive, upgrade"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "text/plain"},
        {"Content-Length": "1"},
        {"Content-Length": "9999"},
        {"X-Request-Id": "a b"},
        {"User-Agent": "\x01"},
        {"User-Agent": "a" * 5000},
        {"Host": "evil.example"},
        {"Host": "localhost:port"},
        {"host": "localhost"},
    ],
    ids=str,
)
def test_whoever_asks_for_more_takes_the_long_way(api: Api, headers: dict[str, str]) -> None:
    assert asked(api, request(code_body(), **headers)) is None
    assert api.get("/api/tasks").json["total"] == 0


@pytest.mark.parametrize(
    "line",
    [
        "POST /api/tasks HTTP/1.0",
        "POST /api/tasks? HTTP/1.1",
        "POST /api/tasks/ HTTP/1.1",
        "POST /api/tasks/batch HTTP/1.1",
        "POST http://localhost/api/tasks HTTP/1.1",
        "GET /api/tasks HTTP/1.1",
        "post /api/tasks HTTP/1.1",
    ],
)
def test_every_other_call_takes_the_long_way(api: Api, line: str) -> None:
    assert asked(api, request(code_body(), line)) is None


def test_a_request_that_is_followed_by_another_takes_the_long_way(api: Api) -> None:
    assert asked(api, request(code_body()) * 2) is None
    assert plain(b"POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json") is None


def test_what_is_no_task_is_told_by_the_long_way_as_if_there_were_no_other(api: Api) -> None:
    for content in (b"[]", b"{}", json.dumps(code_body(nmae="x")).encode()):
        sent = {"data": content, "headers": {**HEADERS, "X-Request-Id": "one"}}
        long = api.call("POST", "/api/tasks", **sent)
        faulty = api.call("POST", "/api/tasks", **sent, environ_base={FAULT: asked(api, request(content))})
        assert long.status_code == 422
        assert (faulty.status, faulty.text, dict(faulty.headers)) == (long.status, long.text, dict(long.headers))
    assert api.get("/api/tasks").json["total"] == 0


@pytest.mark.parametrize("content", [b"{", b'{"a": NaN}', b'{"a": 1, "a": 1}', b"\xff", b"[" * 9000, b'"\\ud800"'])
def test_what_is_no_json_takes_the_long_way(api: Api, content: bytes) -> None:
    assert asked(api, request(content)) is None


def test_of_several_each_has_its_own_answer(store: Store, tmp_path: Path) -> None:
    api = make_api(store, tmp_path, quota_tasks=2)
    lane = api.app.express
    assert lane is not None
    bodies = [code_body(name="one"), code_body(nmae="x"), code_body(name="two"), code_body(name="three")]
    plain = [lane.read(request(body), "127.0.0.1") for body in bodies]
    one, wrong, two, three = lane.answer([each for each in plain if each])
    assert isinstance(wrong, InvalidTask)
    assert isinstance(three, TooMuch)
    assert [json.loads(told(each)[1])["name"] for each in (one, two) if isinstance(each, bytes)] == ["one", "two"]
    assert sorted(task["name"] for task in api.get("/api/tasks").json["tasks"]) == ["one", "two"]
    api.close()


@pytest.mark.parametrize(
    ("body", "quick"),
    [
        (http_body(), True),
        (code_body(), False),
        (code_body(kwargs={"text": "x" * 20_000}), False),
        (http_body(task_type="scheduled", cron_expression="* * * * *"), False),
        ([], False),
    ],
    ids=str,
)
def test_only_what_needs_nobody_but_redis_is_quick(api: Api, body: Any, quick: bool) -> None:
    lane = api.app.express
    assert lane is not None
    plain = lane.read(request(body), "127.0.0.1")
    assert plain is not None
    assert plain.is_quick is quick


def test_code_that_was_seen_before_is_quick(api: Api) -> None:
    lane = api.app.express
    assert lane is not None
    api.submit()
    plain = lane.read(request(code_body()), "127.0.0.1")
    assert plain is not None
    assert plain.is_quick


def test_an_empty_body_takes_the_long_way(api: Api) -> None:
    assert asked(api, request(b"")) is None


def test_what_is_wrong_or_too_much_is_a_fault_and_nothing_is_stored(store: Store, tmp_path: Path) -> None:
    api = make_api(store, tmp_path, quota_tasks=1)
    assert isinstance(asked(api, request(code_body(nmae="x"))), InvalidTask)
    assert isinstance(asked(api, request(code_body())), bytes)
    assert isinstance(asked(api, request(code_body())), TooMuch)
    assert api.get("/api/tasks").json["total"] == 1
    api.close()


def test_a_redis_that_is_away_is_a_fault_that_is_told_without_another_try(tmp_path: Path) -> None:
    api = make_api(Store("unix:///nowhere/redis.sock", timeout=1), tmp_path)
    fault = asked(api, request(code_body()))
    assert isinstance(fault, StoreUnavailable)
    answer = api.post("/api/tasks", code_body(), environ_base={FAULT: fault})
    assert (answer.status_code, answer.json["code"], answer.headers["Retry-After"]) == (503, "store_unavailable", "2")
    api.close()


@pytest.mark.parametrize(
    "settings",
    [
        {"auth_required": True, "secret_key": "s" * 32},
        {"rate_limit": "600/minute"},
        {"trusted_proxies": 1},
        {"cors_origins": ["https://console.example"]},
    ],
    ids=str,
)
def test_there_is_no_express_lane_where_every_request_is_looked_at_more_closely(
    store: Store, tmp_path: Path, settings: dict[str, Any]
) -> None:
    api = make_api(store, tmp_path, **settings)
    assert api.app.express is None
    api.close()
