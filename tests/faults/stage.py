"""The system under test: Redis, an API, two workers and two beats, each of which is started again when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import requests

from celery_app import build
from config.settings import load
from tests.integration.service import ROOT, Service, free_port, wait_for

WORKERS = ("worker", "worker2")
BEATS = ("beat", "beat2")


class Stage(Service):
    """Real processes, and the sink beside them."""

    def __init__(self, folder: Path) -> None:
        # What is acknowledged must be on disk, or a killed Redis may take it along and be right to.
        super().__init__(folder, RUN_HISTORY="10000", GRACE_SECONDS="3", LOG_LEVEL="WARNING")
        always = ("always" if word == "everysec" else word for word in self.commands["redis"])
        self.commands = {**self.commands, "redis": tuple(always), "beat2": self.commands["beat"]}
        self.sink_port = free_port()
        self.sink = f"http://127.0.0.1:{self.sink_port}"
        self._sink = subprocess.Popen([sys.executable, "-m", "tests.faults.sink", str(self.sink_port)], cwd=ROOT)

    def open(self) -> None:
        """Start everything."""
        self.start("redis", "api", *WORKERS, "beat")
        self.revive("beat2")
        wait_for("the sink", self.effects_known)

    def revive(self, name: str) -> None:
        """Start a process again, without waiting until it is ready."""
        with (self.folder / f"{name}.out").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                self.commands[name],
                cwd=ROOT,
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def slay(self, name: str, sign: signal.Signals = signal.SIGKILL) -> None:
        """End a process, with its children where it is the API, and start it again."""
        process = self.processes[name]
        if name == "api":
            os.killpg(process.pid, sign)
        else:
            process.send_signal(sign)
        process.wait(60)
        self.revive(name)

    def redis(self, *words: str) -> str:
        """What Redis answers to one command, over a connection of its own."""
        tool = [sys.executable, "-c", _ASK, str(self.redis_port), *words]
        return subprocess.run(tool, capture_output=True, text=True, timeout=20, check=False).stdout.strip()

    def ring(self, run_ids: list[str]) -> None:
        """Send bells as the service does."""
        folders = {"data_dir": self.folder / "var", "log_dir": self.folder / "logs"}
        build(load(redis_host="127.0.0.1", redis_port=self.redis_port, **folders)).bell.ring(run_ids)

    def effects_known(self) -> bool:
        """Whether the sink answers."""
        try:
            return requests.get(f"{self.sink}/counts", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def effects(self) -> dict[str, list[str]]:
        """The Idempotency-Key of each effect, by token."""
        return dict(requests.get(f"{self.sink}/counts", timeout=60).json())

    def keep_alive(self) -> list[str]:
        """Start again what ended by itself; its names."""
        dead = [name for name, process in self.processes.items() if process.poll() is not None]
        for name in dead:
            self.revive(name)
        return dead

    def close(self) -> None:
        """End everything."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
        beat2 = self.processes.pop("beat2", None)
        if beat2 is not None and beat2.poll() is None:
            beat2.terminate()
            beat2.wait(20)
        self.stop()
        self._sink.kill()
        self._sink.wait(10)


_ASK = """
import sys, redis
client = redis.Redis(port=int(sys.argv[1]), decode_responses=True, socket_timeout=15)
try:
    print(client.execute_command(*sys.argv[2:]))
except redis.RedisError as error:
    print(error)
"""


def pause(seconds: float) -> None:
    """Let time pass."""
    time.sleep(seconds)
