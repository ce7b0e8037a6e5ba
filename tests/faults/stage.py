"""A stage: the system under test in one of its forms, and the sink beside it, which counts effects."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import requests

from celery_app import build
from config.settings import load
from tests.integration.service import Client


class Stage(Client):
    """What every form has: an API, a Redis within reach, and a sink. Each says how they start and end."""

    folder: Path
    redis_url: str
    #: The sink as workers call it, and as we ask it for its counts.
    sink: str
    counts: str

    def open(self) -> None:
        """Start everything."""
        raise NotImplementedError

    def keep_alive(self) -> list[str]:
        """Start again what ended by itself; its names."""
        raise NotImplementedError

    def close(self) -> None:
        """End everything."""
        raise NotImplementedError

    def redis(self, *words: str) -> str:
        """What Redis answers to one command, over a connection of its own."""
        tool = [sys.executable, "-c", _ASK, self.redis_url, *words]
        return subprocess.run(tool, capture_output=True, text=True, timeout=20, check=False).stdout.strip()

    def ring(self, run_ids: list[str]) -> None:
        """Send bells as the service does."""
        folders = {"data_dir": self.folder / "var", "log_dir": self.folder / "logs"}
        build(load(redis_url=self.redis_url, **folders)).bell.ring(run_ids)

    def effects_known(self) -> bool:
        """Whether the sink answers."""
        try:
            return requests.get(self.counts, timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def effects(self) -> dict[str, list[str]]:
        """The Idempotency-Key of each effect, by token."""
        return dict(requests.get(self.counts, timeout=60).json())


_ASK = """
import sys, redis
client = redis.Redis.from_url(sys.argv[1], decode_responses=True, socket_timeout=15)
try:
    print(client.execute_command(*sys.argv[2:]))
except redis.RedisError as error:
    print(error)
"""


def pause(seconds: float) -> None:
    """Let time pass."""
    time.sleep(seconds)
