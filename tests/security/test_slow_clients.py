"""A thousand slow clients and requests that can be read in two ways, against the real server."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.integration.service import Service, wait_for

SECONDS = 3


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    service = Service(tmp_path_factory.mktemp("slow"), SLOW_CLIENT_SECONDS=str(SECONDS), MAX_BODY_BYTES="20000")
    try:
        service.start("redis", "api")
        yield service
    finally:
        service.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.api_port), 10)


def told(service: Service, sent: bytes) -> bytes:
    """Everything that comes back until the server closes, or goes quiet."""
    found = b""
    with connect(service) as line, contextlib.suppress(OSError):
        line.settimeout(SECONDS * 3)
        line.sendall(sent)
        while data := line.recv(65536):
            found += data
    return found


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /api/tasks HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        b"POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n{",
        b"POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\nhel",
        b"POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9000\r\n\r\n",
    ],
    ids=["silent", "headers", "body", "chunks", "expect"],
)
def test_a_thousand_slow_clients_do_not_hold_the_server(service: Service, begun: bytes) -> None:
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(connect(service)) for _ in range(1000)]
        for line in lines:
            line.sendall(begun)
        for _ in range(5):
            for line in lines:
                with contextlib.suppress(OSError):
                    line.send(b"a" if begun else b"")
            assert service.call("GET", "/api/health/live").status_code == 200
        made = service.submit(api_url="https://example.com/", task_type="delayed", delay_seconds=900)
        assert service.call("GET", f"/api/tasks/{made['id']}").status_code == 200
        wait_for("their end", lambda: all(_ended(line) for line in lines[:50]), seconds=SECONDS * 6)
    assert service.call("GET", "/api/health/live").status_code == 200


def _ended(line: socket.socket) -> bool:
    """Whether the server has closed the connection."""
    line.settimeout(0.01)
    try:
        while data := line.recv(65536):
            assert b" 100 Continue" in data or b" 408 " in data
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


HOST = b"Host: localhost\r\nContent-Type: application/json\r\n"
BODY = b"0\r\n\r\nGET /api/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
LENGTH = str(len(BODY)).encode()
SHAPES = {
    "length and chunked": b"Content-Length: " + LENGTH + b"\r\nTransfer-Encoding: chunked\r\n",
    "chunked and length": b"Transfer-Encoding: chunked\r\nContent-Length: " + LENGTH + b"\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: " + LENGTH + b"\r\n",
    "one length twice": b"Content-Length: 5\r\nContent-Length: 5\r\n",
    "list of lengths": b"Content-Length: 5, " + LENGTH + b"\r\n",
    "signed length": b"Content-Length: +5\r\n",
    "negative length": b"Content-Length: -5\r\n",
    "hexadecimal length": b"Content-Length: 0x5\r\n",
    "empty length": b"Content-Length: \r\n",
    "folded header": b"X-Folded: a\r\n b\r\nContent-Length: 5\r\n",
    "folded coding": b"Transfer-Encoding:\r\n chunked\r\n",
    "unknown coding": b"Transfer-Encoding: xchunked\r\n",
    "two codings": b"Transfer-Encoding: gzip, chunked\r\n",
    "coding twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "coding in quotes": b'Transfer-Encoding: "chunked"\r\n',
    "vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
    "space before colon": b"Content-Length : 5\r\n",
    "space before name": b" Content-Length: 5\r\n",
    "bare line feed": b"X-A: b\nContent-Length: 5\r\n",
    "bare carriage return": b"X-A: b\rContent-Length: 5\r\n",
    "nul": b"X-A: \x00\r\nContent-Length: 5\r\n",
    "no colon": b"Content-Length 5\r\n",
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_request_that_can_be_read_in_two_ways_is_refused_and_the_line_closed(service: Service, shape: bytes) -> None:
    answer = told(service, b"POST /api/tasks HTTP/1.1\r\n" + HOST + shape + b"\r\n" + BODY)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhelloX\r\n0\r\n\r\n", b"zz\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n" + b"x" * 300, b"0\r\nX-Smuggled: a\r\n\r\n", b"fffffffff\r\n" + b"x" * 400,
    ],
    ids=["overlong", "no number", "negative", "prefixed", "bare feed", "trailer", "huge"],
)  # fmt: skip
def test_bad_chunks_are_refused(service: Service, body: bytes) -> None:
    answer = told(service, b"POST /api/tasks HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 "))
    assert answer.count(b"HTTP/1.1 ") == 1


def test_requests_that_are_well_framed_are_served_one_after_the_other(service: Service) -> None:
    get = b"GET /api/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = get.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    chunked = b"POST /api/tasks HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\n{}\r\n0\r\n\r\n"
    assert told(service, get + get + last).count(b"HTTP/1.1 200 ") == 3
    answer = told(service, chunked + get + last)
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert answer.count(b"HTTP/1.1 200 ") == 2
    with connect(service) as line:
        for piece in (last[:10], last[10:-1], last[-1:]):
            line.sendall(piece)
            time.sleep(0.05)
        assert line.recv(100).startswith(b"HTTP/1.1 200 ")


def test_who_asks_much_at_once_and_reads_slowly_loses_the_line(service: Service) -> None:
    asked = 500
    with connect(service) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        line.sendall(b"GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * asked)
        answers, end = 0, time.monotonic() + SECONDS * 8
        with contextlib.suppress(ConnectionResetError):
            while data := line.recv(65536):
                answers += data.count(b"HTTP/1.1 200 OK")
                assert time.monotonic() < end
                time.sleep(0.02)
    assert 0 < answers < asked
    assert requests.get(f"{service.url}/api/health", timeout=10).status_code == 200


def test_too_much_is_refused_by_its_length_alone(service: Service) -> None:
    head = b"POST /api/tasks HTTP/1.1\r\n" + HOST
    assert told(service, head + b"Content-Length: 30000\r\n\r\n").startswith(b"HTTP/1.1 413 ")
    assert told(service, head + b"X: " + b"a" * 70_000).startswith(b"HTTP/1.1 431 ")
    chunk = b"2000\r\n" + b"x" * 0x2000 + b"\r\n"
    assert told(service, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 30).startswith((b"HTTP/1.1 413 ", b""))


@pytest.mark.parametrize(
    ("request_line", "more", "status", "code"),
    [
        (b"GET /api/" + b"a" * 9000 + b" HTTP/1.1", b"", 414, "uri_too_long"),
        (b"GET /api/health HTTP/1.1", b"Authorization: Bearer " + b"a" * 20_000 + b"\r\n", 431, "headers_too_large"),
        (b"GET /api/health HTTP/1.1", b"".join(b"X-%d: 1\r\n" % n for n in range(150)), 431, "headers_too_large"),
        (b"GET /api/health HTTP/9.9", b"", 505, "http_version_not_supported"),
        (b"get /api/health HTTP/1.1", b"", 400, "bad_request"),
        (b"PRI * HTTP/2.0", b"", 505, "http_version_not_supported"),
    ],
    ids=["path", "header", "headers", "version", "method", "HTTP/2"],
)
def test_what_cannot_be_read_is_a_problem_and_no_page(
    service: Service, request_line: bytes, more: bytes, status: int, code: str
) -> None:
    answer = told(service, request_line + b"\r\nHost: localhost\r\n" + more + b"\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/problem+json" in head
    assert json.loads(body)["code"] == code
    assert b"<html" not in answer.lower()


@pytest.mark.parametrize(
    "path",
    [
        "/api/../api/users", "/api/./users", "/api//users",
        "/api/users/..%2f..%2fetc%2fpasswd", "/api/%2e%2e/users",
        "/api/docs/..%2f..%2fsettings.py", "/api/docs/%2e%2e/settings.py", "/api/tasks/%00",
        "/api/tasks/..%5c..%5c", "/.git/config",
        "/api/tasks/" + "a" * 3000,
    ],
)  # fmt: skip
def test_no_trick_with_a_path_leads_anywhere(service: Service, path: str) -> None:
    answer = told(service, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ", b"HTTP/1.1 401 ")), answer[:200]
    assert b"root:" not in answer


def test_no_header_moves_a_request_elsewhere(service: Service) -> None:
    for name in (
        "SCRIPT_NAME",
        "Script-Name",
        "PATH_INFO",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
    ):
        headers = {name: "/api/users", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
        answer = requests.get(f"{service.url}/api/health/live", headers=headers, timeout=10)
        assert answer.json() == {"status": "alive"}


def test_what_went_wrong_is_not_in_the_log_as_a_fault_of_ours(service: Service) -> None:
    logs = "".join(path.read_text(encoding="utf-8") for path in Path(service.environment["LOG_DIR"]).glob("*.log"))
    assert "Traceback" not in logs
