"""HTTP to the letter where only bytes on a connection can tell: versions, Host, Expect, what follows an answer."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.browser import HEADERS
from tests.integration.service import Service
from tests.make import code_body

MOST_BODY = 20_000
HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
GET = b"GET /api/health/live HTTP/1.1\r\n"
POST = b"POST /api/tasks HTTP/1.1\r\n" + HOST + JSON
LAST = GET + HOST + b"Connection: close\r\n\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("line"), MAX_BODY_BYTES=str(MOST_BODY), API_PROCESSES="1")
    try:
        service.start("redis", "api")
        yield service
    finally:
        service.stop()


@dataclass(frozen=True)
class Reply:
    """One answer as it stood on the line."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def replies(service: Service, sent: bytes) -> list[Reply]:
    """Every answer to what was sent, until the server closes the line."""
    found = b""
    with socket.create_connection(("127.0.0.1", service.api_port), 10) as line, contextlib.suppress(ConnectionError):
        line.settimeout(10)
        line.sendall(sent)
        while data := line.recv(65536):
            found += data
    return list(parsed(found))


def parsed(data: bytes) -> Iterator[Reply]:
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", 0))
        yield Reply(int(first.split(" ")[1]), headers, data[:length])
        data = data[length:]


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (GET + b"\r\n", 400, "bad_request"),
        (GET + HOST + HOST + b"\r\n", 400, "bad_request"),
        (GET + b"Host: local host\r\n\r\n", 400, "bad_request"),
        (GET + b"Host: localhost/api\r\n\r\n", 400, "bad_request"),
        (GET + b"Host: user@localhost\r\n\r\n", 400, "bad_request"),
        (GET + b"Host: localhost:port\r\n\r\n", 400, "bad_request"),
        (b"GET /api/health/live\r\n\r\n", 400, "bad_request"),
        (b"GET  /api/health/live HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad_request"),
        (b"GET /api/health/live HTTP/1.1 \r\n" + HOST + b"\r\n", 400, "bad_request"),
        (b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad_request"),
        (b"G(T /api/health/live HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad_request"),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\r\n\r\n", 400, "bad_request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http_version_not_supported"),
        (b"GET / HTTP/0.9\r\n" + HOST + b"\r\n", 505, "http_version_not_supported"),
        (b"GET /?" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "uri_too_long"),
        (GET + HOST + b"X: " + b"a" * 70_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (GET + HOST + b"X: " + b"a" * 9_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (GET + HOST + b"X: a\r\n" * 200 + b"\r\n", 431, "headers_too_large"),
        (POST + b"Expect: miracles\r\nContent-Length: 2\r\n\r\n{}", 417, "expectation_failed"),
        (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (b"POST /api/tasks HTTP/1.0\r\n" + JSON + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (POST + b"Content-Length: 30000\r\n\r\n", 413, "body_too_large"),
        (LAST.replace(b"/api/health/live", b"/api/nowhere"), 404, "path_not_found"),
        (LAST.replace(b"GET /api", b"GET //api"), 404, "path_not_found"),
        (LAST.replace(b"GET", b"BREW"), 405, "method_not_allowed"),
        (LAST.replace(b"GET /api/health/live", b"CONNECT localhost:80"), 404, "path_not_found"),
    ],
)
def test_whatever_is_refused_is_a_problem_with_an_id_and_all_headers_and_the_last_of_its_line(
    service: Service, sent: bytes, status: int, code: str
) -> None:
    (reply,) = replies(service, sent + (LAST if b"Connection: close" not in sent else b""))
    assert (reply.status, reply.json["code"], reply.json["status"]) == (status, code, status)
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["connection"] == "close"
    assert reply.json["request_id"] == reply.headers["x-request-id"]
    assert {name: reply.headers[name.lower()] for name in HEADERS} == HEADERS
    assert "date" in reply.headers
    assert "set-cookie" not in reply.headers


@pytest.mark.parametrize("host", [b"localhost", b"127.0.0.1:5000", b"[::1]:5000", b"localhost:", b"a_b-c"])
def test_a_host_is_a_name_or_an_address(service: Service, host: bytes) -> None:
    (reply,) = replies(service, LAST.replace(b"Host: localhost", b"Host: " + host))
    assert reply.status == 200


def test_who_speaks_http_1_0_needs_no_host_and_gets_one_whole_answer(service: Service) -> None:
    paths = service.call("GET", "/api/openapi.json").json()["paths"]
    tried = [path for path, verbs in paths.items() if "get" in verbs and "{" not in path]
    assert len(tried) > 10
    for path in tried:
        (reply,) = replies(service, f"GET {path} HTTP/1.0\r\n\r\n".encode())
        assert reply.status in (200, 401, 403), path
        assert reply.headers["connection"] == "close"
        assert len(reply.body) == int(reply.headers["content-length"])
        assert "transfer-encoding" not in reply.headers


def test_leave_to_send_a_body_is_given_once_to_who_waits_for_it_and_knows_of_it(service: Service) -> None:
    asking = POST + b"Connection: close\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.api_port), 10) as line:
        line.settimeout(10)
        line.sendall(asking)
        assert line.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(b"{}")
        found = b""
        while data := line.recv(65536):
            found += data
    assert [reply.status for reply in parsed(found)] == [422]
    assert [reply.status for reply in replies(service, asking + b"{}")] == [422]
    older = asking.replace(b"HTTP/1.1", b"HTTP/1.0")
    assert [reply.status for reply in replies(service, older + b"{}")] == [422]
    assert [reply.status for reply in replies(service, asking.replace(b": 2", b": 30000"))] == [413]


def test_a_body_in_chunks_is_the_same_body(service: Service) -> None:
    body = b'{"name": "a call", "task_type": "delayed", "delay_seconds": 900, "api_url": "https://example.com/"}'
    half = len(body) // 2
    pieces = [body[:half], body[half:]]
    chunks = b"".join(f"{len(piece):x};part=1\r\n".encode() + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"
    head = POST + b"Connection: close\r\n"
    (whole,) = replies(service, head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    (parts,) = replies(service, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert (whole.status, parts.status) == (201, 201)
    for name in json.loads(body):
        assert parts.json[name] == whole.json[name]


BODY = b"Content-Length: 44\r\n\r\n" + b"GET /api/smuggled HTTP/1.1\r\nHost: local\r\n\r\n".ljust(44)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"HEAD /api/tasks HTTP/1.1\r\n" + HOST + b"\r\n", 200),
        (b"OPTIONS /api/tasks HTTP/1.1\r\n" + HOST + b"\r\n", 204),
        (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 204),
        (b"GET /api/tasks HTTP/1.1\r\n" + HOST + BODY, 200),
        (b"GET /api/nowhere HTTP/1.1\r\n" + HOST + BODY, 404),
        (b"BREW /api/tasks HTTP/1.1\r\n" + HOST + BODY, 405),
        (b"DELETE /api/tasks/x HTTP/1.1\r\n" + HOST + BODY, 404),
        (b"POST /api/tasks HTTP/1.1\r\n" + HOST + b"Content-Type: text/plain\r\n" + BODY, 415),
        (b"POST /api/tasks HTTP/1.1\r\n" + HOST + JSON + BODY, 400),
        (b"POST /api/tasks?x=1 HTTP/1.1\r\n" + HOST + JSON + BODY, 422),
    ],
)
def test_a_body_that_nobody_reads_is_no_request_of_its_own(service: Service, sent: bytes, status: int) -> None:
    if sent.startswith(b"HEAD"):
        head, last = _head_and_last(service, sent)
        assert (head, last) == (200, 200)
        return
    first, last = replies(service, sent + LAST)
    assert (first.status, last.status) == (status, 200)
    assert last.json == {"status": "alive"}


def _head_and_last(service: Service, sent: bytes) -> tuple[int, int]:
    """The statuses of an answer without the body that its length tells of, and of the one after it."""
    with socket.create_connection(("127.0.0.1", service.api_port), 10) as line:
        line.settimeout(10)
        line.sendall(sent + LAST)
        found = b""
        while data := line.recv(65536):
            found += data
    head, rest = found.split(b"\r\n\r\n", 1)
    assert b"Content-Length: " in head
    return int(head.split(b" ")[1]), int(rest.split(b" ")[1])


def test_the_server_itself_never_failed(service: Service) -> None:
    logs = "".join(path.read_text(encoding="utf-8") for path in Path(service.environment["LOG_DIR"]).glob("*.log"))
    assert "Traceback" not in logs


@pytest.mark.parametrize(
    ("content", "status"), [(json.dumps(code_body()).encode(), 201), (b"{}", 422), (b"{", 400), (b'{"a": NaN}', 400)]
)
def test_a_submission_is_answered_alike_whichever_way_it_takes(service: Service, content: bytes, status: int) -> None:
    head = POST + b"X-Request-Id: one\r\nContent-Length: %d\r\n" % len(content)
    plain, special = head + b"\r\n" + content, head + b"Cookie: a=b\r\n\r\n" + content
    with socket.create_connection(("127.0.0.1", service.api_port), 10) as line:
        line.settimeout(10)
        found = []
        for sent in (plain, special, plain):
            line.sendall(sent[:50])
            line.sendall(sent[50:])
            found.append(next(parsed(line.recv(65536))))
    first, second, _ = [
        (each.status, ["" if n == "date" else unnamed(v) for n, v in each.headers.items()]) for each in found
    ]
    assert [each.status for each in found] == [status] * 3
    assert first == second
    assert unnamed(found[0].body.decode()) == unnamed(found[1].body.decode())


def unnamed(text: str) -> str:
    """A text without ids and moments."""
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z", "…", text)
