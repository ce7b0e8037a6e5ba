"""HTTP targets that hang, drip, lead in circles or never end: each call ends by itself, and its worker goes on."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.http_server import Seen, Server, answer
from tests.integration.service import Service, wait_for

#: What a worker's memory may grow by over an answer without end; what is kept of it is 1 MB by default.
SPARE = 100 << 20
CHUNK = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"


class Hostile:
    """Another side that means ill; counts how many bytes it got rid of."""

    def __init__(self) -> None:
        self.sent = 0
        self.over: Callable[[], bool] = lambda: False

    def __call__(self, seen: Seen, connection: socket.socket) -> bytes | None:
        return {
            "/hang": self.hang,
            "/drip": self.drip,
            "/head": self.drip_the_head,
            "/circle": self.lead_in_a_circle,
            "/on": self.lead_on,
            "/endless": self.send_without_end,
            "/large": self.announce_much,
        }[seen.target.partition("?")[0]](seen, connection)

    def hang(self, _: Seen, connection: socket.socket) -> None:
        connection.recv(1)

    def drip(self, _: Seen, connection: socket.socket) -> None:
        """One byte of the body at a time, far more often than any time limit of a socket."""
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        self._drop(connection, b"x")

    def drip_the_head(self, _: Seen, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Note: ")
        self._drop(connection, b"x")

    def _drop(self, connection: socket.socket, drop: bytes) -> None:
        while not self.over():
            connection.sendall(drop)
            self.sent += len(drop)
            time.sleep(0.05)

    def lead_in_a_circle(self, _: Seen, __: socket.socket) -> bytes:
        return answer(status=302, location="/circle")

    def lead_on(self, seen: Seen, _: socket.socket) -> bytes:
        """To an address that was never seen before, for ever."""
        return answer(status=307, location=f"/on?{int(seen.target.partition('?')[2] or 0) + 1}")

    def send_without_end(self, _: Seen, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._pour(connection, CHUNK)

    def announce_much(self, _: Seen, connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {10 << 30}\r\n\r\n".encode())
        self._pour(connection, CHUNK)

    def _pour(self, connection: socket.socket, what: bytes) -> None:
        while self.sent < 10 << 30:
            connection.sendall(what)
            self.sent += len(what)


@pytest.fixture
def hostile() -> Hostile:
    return Hostile()


@pytest.fixture
def server(hostile: Hostile) -> Iterator[Server]:
    with Server(hostile) as server:
        hostile.over = server.over.is_set
        yield server


def still_works(service: Service) -> None:
    """Whether the same worker does other work, with nothing left running."""
    task = service.code("def f():\n    return 'quick'\n")
    assert service.finished(task["id"])["result"] == "quick"
    wait_for("idle worker", lambda: service.call("GET", "/api/health").json()["workers"][0]["running"] == 0)
    assert service.processes["worker"].poll() is None


@pytest.mark.parametrize("path", ["/hang", "/drip", "/head"])
def test_a_target_that_hangs_or_drips_is_given_up_at_the_deadline(
    service: Service, server: Server, hostile: Hostile, path: str
) -> None:
    ids = [service.submit(api_url=server.url(path), timeout=1.5)["id"] for _ in range(20)]
    for task_id in ids:
        task = service.finished(task_id)
        assert (task["status"], task["reason"], task["attempt"]) == ("timed_out", "timed_out", 1)
        assert task["duration"] >= 1.4
    assert server.connections == 20
    still_works(service)


@pytest.mark.parametrize("path", ["/circle", "/on"])
def test_a_target_that_redirects_for_ever_is_followed_ten_times(service: Service, server: Server, path: str) -> None:
    task = service.finished(service.submit(api_url=server.url(path), retry={"max": 3, "backoff": 0})["id"])
    assert (task["status"], task["reason"], task["attempt"]) == ("failed", "too_many_redirects", 1)
    assert server.connections == 11
    still_works(service)


@pytest.mark.parametrize("path", ["/endless", "/large"])
def test_ten_gigabytes_are_cut_off_and_never_held(
    service: Service, server: Server, hostile: Hostile, path: str
) -> None:
    worker = psutil.Process(service.processes["worker"].pid)
    before = worker.memory_info().rss
    task = service.finished(service.submit(api_url=server.url(path), timeout=60)["id"])
    assert (task["status"], task["result"]["truncated"]) == ("succeeded", True)
    assert len(task["result"]["body"]) <= 1 << 20
    assert hostile.sent < SPARE
    assert worker.memory_info().rss - before < SPARE
    still_works(service)
