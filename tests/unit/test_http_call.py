"""HTTP calls against real servers on loopback: what is sent, what comes back, redirects and broken answers."""

from __future__ import annotations

import gzip
import json
import socket
import tomllib
import tracemalloc
import zlib
from collections.abc import Callable
from email.utils import formatdate
from ipaddress import ip_network
from pathlib import Path
from time import time
from typing import Any

import pytest

from tasks import __version__
from tasks.http_call import MAX_REDIRECTS, HttpCaller, HttpRequest
from tasks.model import Done, Failed, Limits, Outcome
from tasks.report import Report
from tests.http_server import Seen, Server, answer

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
CAP = 100_000


def call(url: str, *, key: str | None = None, max_result_bytes: int = 1 << 20, **fields: Any) -> Outcome:
    caller = HttpCaller(allowed_networks=LOOPBACK, max_response_bytes=CAP)
    request = HttpRequest(api_url=url, **fields)
    assert caller.problems(request) == []
    limits = Limits(timeout=20, max_result_bytes=max_result_bytes)
    return caller.call(request, limits=limits, report=Report(1000, idempotency_key=key))


def value_of(outcome: Outcome) -> dict[str, Any]:
    assert isinstance(outcome, Done), outcome
    json.dumps(outcome.value, allow_nan=False).encode()
    return dict(outcome.value)


def failure_of(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


def always(response: bytes) -> Callable[[Seen, socket.socket], bytes]:
    return lambda _seen, _connection: response


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "post"])
def test_every_method_arrives_as_asked_and_its_json_answer_comes_back(method: str) -> None:
    with Server(always(answer('{"ok": [1, 2.5, null, "好"]}', content_type="application/json"))) as server:
        value = value_of(call(server.url("/a/b"), method=method))
    assert server.seen[0].method == method.upper()
    assert server.seen[0].target == "/a/b"
    assert value["json"] == {"ok": [1, 2.5, None, "好"]}
    assert value["status_code"] == 200
    assert value["url"] == server.url("/a/b")
    assert value["headers"]["Content-Type"] == "application/json"
    assert value["truncated"] is False
    assert 0 <= value["elapsed"] < 20


def test_head_has_no_body_however_long_the_server_says_it_would_be() -> None:
    with Server(always(answer(content_length="5000"))) as server:
        assert value_of(call(server.url(), method="HEAD"))["body"] == ""


def test_the_service_names_itself_and_the_run_unless_the_user_names_them() -> None:
    with Server(always(answer())) as server:
        call(server.url(), key="t1.1")
        call(server.url(), key="t1.1", headers={"user-agent": "mine", "idempotency-key": "my-key", "X-Note": " hi "})
    first, second = server.seen
    assert first.headers["User-Agent"] == f"TaskManagementSystem/{__version__}"
    assert first.headers["Idempotency-Key"] == "t1.1"
    assert first.headers["Host"] == f"127.0.0.1:{server.port}"
    assert second.headers["user-agent"] == "mine"
    assert second.headers["idempotency-key"] == "my-key"
    assert second.headers["X-Note"] == "hi"
    assert not {"User-Agent", "Idempotency-Key", "Cookie", "Authorization"} & set(second.headers)


def test_the_version_that_goes_out_is_the_one_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert __version__ == project["version"]


def test_params_join_the_query_that_is_there_and_non_ascii_is_encoded() -> None:
    with Server(always(answer())) as server:
        call(server.url("/搜索?x=1#part"), params={"q": "任务 1&2", "n": [1, 2.5], "on": True})
    path, _, query = server.seen[0].target.partition("?")
    assert path == "/%E6%90%9C%E7%B4%A2"
    assert query == "x=1&q=%E4%BB%BB%E5%8A%A1+1%262&n=1&n=2.5&on=true"


@pytest.mark.parametrize(
    ("fields", "kind", "body"),
    [
        ({"json": {"名": "张三"}}, "application/json", '{"名": "张三"}'.encode()),
        ({"json": None}, "application/json", b"null"),
        ({"body": "你好，世界"}, "text/plain; charset=utf-8", "你好，世界".encode()),
        ({"body": "<a/>", "headers": {"content-type": "text/xml"}}, "text/xml", b"<a/>"),
    ],
)
def test_a_body_goes_out_in_utf8_with_its_type(fields: dict[str, Any], kind: str, body: bytes) -> None:
    with Server(always(answer(status=201))) as server:
        value_of(call(server.url(), method="POST", **fields))
    sent = {name.lower(): value for name, value in server.seen[0].headers.items()}
    assert server.seen[0].body == body
    assert sent["content-type"] == kind
    assert sent["content-length"] == str(len(body))


@pytest.mark.parametrize(
    ("status", "expected", "good"),
    [
        (204, (), True), (404, (), False), (404, (404,), True), (404, ("404",), True), (503, ("2xx", "5xx"), True),
        (200, (201,), False), (301, ("3xx",), True), (299, ("2XX",), True),
    ],
)  # fmt: skip
def test_expected_status_decides_what_is_a_success(status: int, expected: tuple[str | int, ...], good: bool) -> None:
    with Server(always(answer("said", status=status))) as server:
        outcome = call(server.url(), expected_status=expected)
    assert isinstance(outcome, Done) == good
    assert outcome.value["status_code"] == status


@pytest.mark.parametrize(
    ("status", "permanent"), [(400, True), (404, True), (408, False), (425, False), (429, False), (500, False)]
)
def test_an_unexpected_status_keeps_the_answer_and_says_whether_a_retry_helps(status: int, permanent: bool) -> None:
    with Server(always(answer("sorry", status=status, content_type="text/plain"))) as server:
        failed = failure_of(call(server.url("/x?token=hidden")))
    assert (failed.code, failed.permanent) == ("unexpected_status", permanent)
    assert failed.value["body"] == "sorry"
    assert str(status) in failed.message
    assert "hidden" not in failed.message


@pytest.mark.parametrize(("told", "least", "most"), [("7", 7, 7), ("date", 50, 61), ("soon", None, None)])
def test_retry_after_is_read_in_seconds_and_as_a_date(told: str, least: float | None, most: float | None) -> None:
    told = formatdate(time() + 60, usegmt=True) if told == "date" else told
    with Server(always(answer(status=503, retry_after=told))) as server:
        wait = failure_of(call(server.url())).retry_after
    assert wait is None if least is None or most is None else wait is not None and least <= wait <= most


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "POST", "GET", b""), (302, "POST", "GET", b""), (303, "PUT", "GET", b""), (307, "POST", "POST", b"data"),
        (308, "PATCH", "PATCH", b"data"), (301, "PUT", "PUT", b"data"), (302, "HEAD", "HEAD", b""),
    ],
)  # fmt: skip
def test_redirects_change_the_method_as_browsers_do(status: int, method: str, then: str, body: bytes) -> None:
    def script(seen: Seen, _connection: socket.socket) -> bytes:
        return answer("there") if seen.target == "/there?q" else answer(status=status, location="/there?q#part")

    given = {} if method == "HEAD" else {"body": "data"}
    with Server(script) as server:
        value = value_of(call(server.url("/here"), method=method, **given))
    assert value["url"] == server.url("/there?q")
    assert (server.seen[1].method, server.seen[1].body) == (then, body)
    assert ("Content-Type" in server.seen[1].headers) == bool(body)


def test_a_redirect_is_an_answer_like_any_other_where_following_is_off() -> None:
    with Server(always(answer(status=302, location="/there"))) as server:
        failed = failure_of(call(server.url(), follow_redirects=False))
    assert failed.value["headers"]["Location"] == "/there"
    assert len(server.seen) == 1


def test_a_chain_of_redirects_ends_somewhere() -> None:
    with Server(always(answer("x" * 500, status=302, location="/again"))) as server:
        failed = failure_of(call(server.url()))
    assert failed.code == "too_many_redirects"
    assert len(server.seen) == MAX_REDIRECTS + 1


def test_secrets_do_not_follow_a_redirect_to_another_origin() -> None:
    secrets = {"Authorization": "Bearer s", "Cookie": "a=s", "X-Api-Key": "s", "X-Auth-Token": "s"}
    with Server(always(answer())) as other:

        def script(seen: Seen, _connection: socket.socket) -> bytes:
            return answer(status=307, location="/near" if seen.target == "/" else other.url("/far"))

        with Server(script) as server:
            value_of(call(server.url(), headers={**secrets, "X-Trace": "kept"}))
    assert secrets.items() <= server.seen[1].headers.items()
    assert other.seen[0].headers["X-Trace"] == "kept"
    assert not set(secrets) & set(other.seen[0].headers)


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "http://user:pw@127.0.0.1/", "http://[bad/", "https:///x"])
def test_a_redirect_to_what_is_no_web_address_is_a_bad_response(location: str) -> None:
    with Server(always(answer(status=302, location=location))) as server:
        failed = failure_of(call(server.url()))
    assert failed.code == "bad_response"
    assert "pw" not in failed.message


def test_an_endless_answer_is_cut_at_the_cap_and_not_read_on() -> None:
    sent = 0

    def script(_seen: Seen, connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(answer(content_length=str(10 * 1024**3), content_type="text/plain"))
        while True:
            sent += connection.send(b"x" * 65_536)

    with Server(script) as server:
        value = value_of(call(server.url()))
    assert value["truncated"] is True
    assert value["body"] == "x" * CAP
    assert sent < 64 * 1024**2


def test_a_compression_bomb_is_cut_at_the_cap_without_filling_the_memory() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()
    bomb = gzip.compress(bomb)
    with Server(always(answer(bomb, content_encoding="gzip, gzip", content_type="text/plain"))) as server:
        tracemalloc.start()
        value = value_of(call(server.url()))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert value["truncated"] is True
    assert value["body"] == "\0" * CAP
    assert peak < 20 * 1024**2


def test_a_result_stays_within_the_bytes_that_a_result_may_have() -> None:
    with Server(always(answer("\0" * 5000, content_type="text/plain", x_long="é" * 900))) as server:
        value = value_of(call(server.url(), max_result_bytes=3000))
    assert value["truncated"] is True
    assert set(value["body"]) == {"\0"}
    assert 2000 < len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) <= 3000


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (b"nonsense\r\n\r\n", "bad_response"),
        (b"HTTP/1.1 abc\r\n\r\n", "bad_response"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", "bad_response"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000, "bad_response"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc", "connection_lost"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 9\r\n\r\nabcde", "bad_response"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd", "bad_response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc", "connection_lost"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "connection_lost"),
        (b"", "connection_lost"),
        (b"HTTP/1.1 200 OK\r\nContent-", "connection_lost"),
    ],
)
def test_a_broken_answer_is_named_and_worth_another_try(response: bytes, code: str) -> None:
    with Server(always(response)) as server:
        failed = failure_of(call(server.url("/p?secret=1")))
    assert (failed.code, failed.permanent) == (code, False)
    assert "secret" not in failed.message


def test_a_port_where_nobody_listens_is_a_failed_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    failed = failure_of(call(f"http://127.0.0.1:{port}/"))
    assert (failed.code, failed.permanent) == ("connect_failed", False)
    assert failed.message == f"Could not connect to 127.0.0.1 on port {port}: connection refused."


def test_an_early_answer_to_a_large_body_still_counts() -> None:
    def script(seen: Seen, _connection: socket.socket) -> bytes:
        return answer("too much", status=413)

    with Server(script) as server:
        failed = failure_of(call(server.url(), method="POST", body="x" * 900_000))
    assert failed.value["status_code"] == 413


def test_localhost_and_ipv6_can_be_called_where_the_operator_allows_them() -> None:
    with Server(always(answer("six")), host="::1") as six, Server(always(answer("four"))) as four:
        assert value_of(call(six.url("/")))["body"] == "six"
        assert value_of(call(four.url("/", host="localhost")))["body"] == "four"
    assert six.seen[0].headers["Host"] == f"[::1]:{six.port}"
    assert four.seen[0].headers["Host"] == f"localhost:{four.port}"
