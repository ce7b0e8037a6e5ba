"""An API that is killed in mid-request, and the same request again: one task, one answer."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import time
from typing import Any

import requests

from tests.integration.service import Service

BODY = {"name": "once", "task_type": "immediate", "function_code": "def f():\n    return 1\n", "function_name": "f"}


def send(service: Service, key: str, body: Any) -> None:
    """Send the request and do not wait for an answer."""
    data = json.dumps(body).encode()
    head = (
        "POST /api/tasks/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: {key}\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", service.api_port), 5) as connection:
        connection.sendall(head.encode() + data)


def answered(service: Service, key: str, body: Any) -> requests.Response:
    """The answer, once the try that died has lost its lease."""
    end = time.monotonic() + 25
    while True:
        answer = service.call("POST", "/api/tasks/batch", json=body, headers={"Idempotency-Key": key})
        if answer.status_code != 409 or time.monotonic() > end:
            return answer
        assert answer.json()["code"] == "idempotency_key_in_use"
        time.sleep(min(1.0, float(answer.headers["Retry-After"])))


def test_a_killed_api_has_done_a_request_once_or_not_at_all(own_service: Service) -> None:
    service = own_service
    service.start("redis", "api")
    chance = random.Random(7)
    # A different source in every task keeps the request in the sandbox for a while, before it stores anything.
    bodies = [
        {
            "tasks": [
                {**BODY, "name": f"{turn}", "function_code": f"def f():\n    return {turn * 1000 + n}\n"}
                for n in range(30)
            ]
        }
        for turn in range(3)
    ]
    replayed = 0
    for turn, body in enumerate(bodies):
        send(service, f"key-{turn}", body)
        time.sleep(chance.uniform(0.005, 0.12))
        os.killpg(service.processes["api"].pid, signal.SIGKILL)
        service.processes["api"].wait(10)
        service.start("api")
        answer = answered(service, f"key-{turn}", body)
        assert answer.status_code == 201, answer.text
        replayed += answer.headers.get("Idempotency-Replayed") == "true"
        again = answered(service, f"key-{turn}", body)
        assert again.content == answer.content
        assert again.headers["Idempotency-Replayed"] == "true"
        ids = [task["id"] for task in answer.json()["tasks"]]
        named = service.call("GET", f"/api/tasks?limit=500&name={turn}").json()["tasks"]
        assert sorted(task["id"] for task in named if task["name"] == str(turn)) == sorted(ids)
    print(f"{replayed} of {len(bodies)} requests had been done when the API was killed")


def test_a_key_given_twice_is_refused(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.api_port), 5) as connection:
        data = json.dumps(BODY).encode()
        connection.sendall(
            b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Idempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data)
        )
        assert b" 400 " in connection.makefile("rb").readline()
