"""Whether each part does its work, asked the way its users would."""

from __future__ import annotations

import http.client
import json
import socket
import time
from typing import Any

from config.settings import Settings
from supervision.redis_probe import Answer, ping

#: Seconds for one answer; seconds for which an answer of the health page serves several questions.
PATIENCE = 1.0
FRESH = 0.05


class Readiness:
    """Asks the running parts over their own ports."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._health: dict[str, Any] = {}
        self._asked_at = 0.0

    def redis(self, _pid: int, _age: float) -> bool:
        """Whether Redis answers PING."""
        return ping(self._settings.redis_address, timeout=PATIENCE).answer is Answer.PONG

    def api(self, _pid: int, _age: float) -> bool:
        """Whether the API answers."""
        status, _ = _get(self._settings.api_host, self._settings.api_port, "/api/health/live")
        return status == http.client.OK

    def worker(self, pid: int, _age: float) -> bool:
        """Whether the worker with this pid has told the Store that it lives."""
        here = (socket.gethostname(), pid)
        return any((worker.get("host"), worker.get("pid")) == here for worker in self.health().get("workers", ()))

    def beat(self, _pid: int, age: float) -> bool:
        """Whether a beat has ticked since this one was started, `age` seconds ago."""
        beat = self.health().get("beat", {})
        ticked = beat.get("last_tick_seconds_ago")
        return bool(beat.get("alive")) and ticked is not None and ticked < age

    def flower(self, _pid: int, _age: float) -> bool:
        """Whether Flower answers, if only that a password is wanted."""
        status, _ = _get(self._settings.flower_host, self._settings.flower_port, "/")
        return status is not None

    def health(self) -> dict[str, Any]:
        """What the health page says; empty where it says nothing, or that the service does not work."""
        if time.monotonic() - self._asked_at > FRESH:
            status, body = _get(self._settings.api_host, self._settings.api_port, "/api/health")
            self._health = _parsed(body) if status == http.client.OK else {}
            self._asked_at = time.monotonic()
        return self._health


def _get(host: str, port: int, path: str) -> tuple[int | None, bytes]:
    connection = http.client.HTTPConnection(reachable(host), port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None, b""
    finally:
        connection.close()


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def reachable(host: str) -> str:
    """The address at which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - read, not bound
