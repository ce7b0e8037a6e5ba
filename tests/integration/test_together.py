"""Submissions that come together, over real connections to one API process: each gets its own answer."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.service import Service
from tests.make import code_body, http_body

ROUNDS = 12
CLIENTS = 24


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("together"), API_PROCESSES="1", API_THREADS="4")
    try:
        service.start("redis", "api")
        yield service
    finally:
        service.stop()


class Line:
    """A kept connection."""

    def __init__(self, service: Service) -> None:
        self._socket = socket.create_connection(("127.0.0.1", service.api_port), 30)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, body: Any, *headers: str, line: str = "POST /api/tasks HTTP/1.1") -> tuple[int, Any]:
        """Status and body of the answer."""
        content = json.dumps(body).encode()
        head = [line, "Host: localhost", "Content-Type: application/json", f"Content-Length: {len(content)}", *headers]
        self._socket.sendall("\r\n".join([*head, "", ""]).encode() + content)
        found = b""
        while b"\r\n\r\n" not in found:
            found += self._heard()
        head_told, _, told = found.partition(b"\r\n\r\n")
        length = int(head_told.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(told) < length:
            told += self._heard()
        return int(head_told[9:12]), json.loads(told)

    def _heard(self) -> bytes:
        data = self._socket.recv(65_536)
        assert data, "the service closed the connection"
        return data


def test_everybody_gets_the_answer_to_his_own_request_whatever_the_others_send(service: Service) -> None:
    """Known and new code, calls, faults, and requests that take the long way, from more clients than threads."""
    begin = threading.Barrier(CLIENTS)

    def client(number: int) -> list[str]:
        names = []
        with Line(service) as line:
            begin.wait(30)
            for turn in range(ROUNDS):
                name, sort = f"{number}-{turn}", (number + turn) % 6
                body: dict[str, Any] = code_body(name=name)
                if sort == 1:
                    body = http_body(name=name)
                elif sort == 2:
                    body["function_code"] = f"def f():\n    return {number * 1000 + turn}"
                elif sort == 3:
                    body["nmae"] = name
                status, told = line.ask(body, *(["Cookie: a=b"] if sort == 4 else []))
                if sort == 3:
                    assert (status, told["errors"][0]["pointer"]) == (422, "/nmae")
                    continue
                assert (status, told["name"]) == (201, name)
                names.append(f"{told['id']} {name}")
        return names

    with ThreadPoolExecutor(CLIENTS) as clients:
        answered = {each for found in clients.map(client, range(CLIENTS)) for each in found}
    with Line(service) as line:
        _, listed = line.ask({}, line="GET /api/tasks?limit=500 HTTP/1.1")
    assert {f"{task['id']} {task['name']}" for task in listed["tasks"]} == answered
    assert listed["total"] == len(answered)


def test_who_waits_for_a_frozen_redis_keeps_nobody_else_waiting(service: Service) -> None:
    with Line(service) as one, Line(service) as other, Line(service) as third:
        assert one.ask(code_body())[0] == 201
        redis = service.processes["redis"]
        redis.send_signal(signal.SIGSTOP)
        try:
            with ThreadPoolExecutor(2) as clients:
                waiting = [clients.submit(line.ask, code_body()) for line in (one, other)]
                time.sleep(0.3)
                status, _ = third.ask({}, line="GET /api/health/live HTTP/1.1")
                assert status == 200
                assert not any(each.done() for each in waiting)
                assert [each.result()[0] for each in waiting] == [503, 503]
        finally:
            redis.send_signal(signal.SIGCONT)
        assert one.ask(code_body())[0] == 201
