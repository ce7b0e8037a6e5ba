"""Clients that do not read their answers, and an address that takes all connections, against the real server."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator

import pytest

from tests.integration.service import Service, wait_for

THREADS, MOST = 4, 100
#: Longer than any test: nothing may have to wait for it.
PATIENCE = 600
LARGE = b"GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
LIVE = b"GET /api/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    few = {"API_PROCESSES": "1", "API_THREADS": str(THREADS), "MAX_CONNECTIONS": str(MOST)}
    service = Service(tmp_path_factory.mktemp("readers"), SLOW_CLIENT_SECONDS=str(PATIENCE), **few)
    try:
        service.start("redis", "api")
        yield service
    finally:
        service.stop()


def connect(service: Service, address: str = "127.0.0.1", room: int = 0) -> socket.socket:
    """A connection from this address, with a receive buffer of so many bytes."""
    line = socket.socket()
    if room:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    line.settimeout(20)
    line.bind((address, 0))
    line.connect(("127.0.0.1", service.api_port))
    return line


def whole(line: socket.socket) -> bytes:
    found = b""
    while data := line.recv(1_000_000):
        found += data
    return found


def test_who_does_not_read_keeps_nobody_waiting(service: Service) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(THREADS * 3):
            line = stack.enter_context(connect(service, room=4096))
            line.sendall(LARGE * 100)
        for _ in range(10):
            assert service.call("GET", "/api/health").status_code == 200


def test_a_slow_reader_gets_every_answer_whole_and_in_order(service: Service) -> None:
    wanted = service.call("GET", "/api/openapi.json").content
    with connect(service, room=4096) as line:
        for number in range(30):
            line.sendall(LARGE.replace(b"\r\n\r\n", b"\r\nX-Request-Id: number-%d\r\n\r\n" % number))
        line.sendall(LIVE)
        for _ in range(5):
            assert service.call("GET", "/api/health/live").status_code == 200
        found = whole(line)
    assert re.findall(rb"X-Request-Id: number-(\d+)", found) == [b"%d" % number for number in range(30)]
    assert found.count(wanted) == 30
    assert found.endswith(b'{"status": "alive"}')


def test_a_slow_reader_whose_answer_is_the_last_gets_all_of_it(service: Service) -> None:
    last = LARGE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    wanted = service.call("GET", "/api/openapi.json").content
    with connect(service, room=4096) as line:
        line.sendall(LARGE * 29 + last)
        assert service.call("GET", "/api/health/live").status_code == 200
        assert whole(line).count(wanted) == 30


def test_an_address_that_takes_all_connections_makes_room_from_its_own(service: Service) -> None:
    with contextlib.ExitStack() as stack:
        slow = stack.enter_context(connect(service))
        slow.sendall(LIVE[:20])
        crowd = [stack.enter_context(connect(service, "127.0.0.2")) for _ in range(MOST * 3)]
        for each in crowd[-10:]:
            each.sendall(b"G")
        assert service.call("GET", "/api/health/live").status_code == 200
        slow.sendall(LIVE[20:])
        assert whole(slow).startswith(b"HTTP/1.1 200 ")
        wait_for("those that had to go", lambda: sum(map(_is_closed, crowd)) > MOST)


def _is_closed(line: socket.socket) -> bool:
    line.setblocking(False)
    try:
        return line.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
