"""Requests that follow each other on one connection, and many connections at once, on the API as it is served."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.service import Service

LIVE = b"GET /api/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("served"), API_THREADS="4", API_PROCESSES="1")
    service.start("redis", "api")
    yield service
    service.stop()


def test_requests_at_once_and_after_a_pause_are_answered_on_one_connection(served: Service) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.api_port, timeout=10)
    for pause in (0, 0, 0.05, 0, 1.2, 0):
        time.sleep(pause)
        connection.request("GET", "/api/health/live")
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.read()
    connection.close()


def test_requests_sent_without_waiting_are_each_answered(served: Service) -> None:
    with socket.create_connection(("127.0.0.1", served.api_port), 10) as connection:
        connection.sendall(LIVE * 5)
        connection.settimeout(10)
        heard = b""
        while heard.count(b"HTTP/1.1 200") < 5:
            part = connection.recv(65536)
            assert part, heard
            heard += part


def test_more_connections_than_threads_are_all_served(served: Service) -> None:
    idle = [socket.create_connection(("127.0.0.1", served.api_port), 10) for _ in range(20)]
    for connection in idle:
        connection.sendall(LIVE)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")

    def ask(_: int) -> int:
        return served.call("GET", "/api/health/live").status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(100))) == {200}
    for connection in idle:
        connection.close()


def test_clients_that_do_not_close_after_their_last_answer_hold_no_thread(served: Service) -> None:
    last = LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    lingering = [socket.create_connection(("127.0.0.1", served.api_port), 10) for _ in range(20)]
    for connection in lingering:
        connection.sendall(last)
    for connection in lingering:
        heard = b""
        while part := connection.recv(65536):
            heard += part
        assert heard.startswith(b"HTTP/1.1 200")
    begun = time.monotonic()
    assert served.call("GET", "/api/health/live").status_code == 200
    assert time.monotonic() - begun < 6  # held by threads, four at a time for 2 s each, they would have taken 10
    for connection in lingering:
        connection.close()


def test_a_request_in_pieces_after_another_is_answered(served: Service) -> None:
    with socket.create_connection(("127.0.0.1", served.api_port), 10) as connection:
        connection.sendall(LIVE)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        for piece in (LIVE[:10], LIVE[10:30], LIVE[30:]):
            time.sleep(0.05)
            connection.sendall(piece)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
