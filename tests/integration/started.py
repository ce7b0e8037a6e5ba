"""The whole service as `python start.py` runs it, on ports and folders of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.integration.service import ROOT, Service, free_port, wait_for

PARTS = ("redis", "api", "worker", "worker-2", "beat", "flower")


class Started(Service):
    """start.py and everything below it; ended by its pid when the test is over."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder, **{"FLOWER_PORT": str(free_port()), "WORKER_PROCESSES": "2", **settings})
        if "REDIS_HOST" not in settings:
            del self.environment["REDIS_HOST"]
        self.run_folder = Path(self.environment["DATA_DIR"]) / "run"
        self.starter: subprocess.Popen[bytes] | None = None
        #: What start.py is started with, in front of its command.
        self.prefix: tuple[str, ...] = ()

    @property
    def output(self) -> str:
        """All that start.py has printed, over all its starts."""
        return (self.folder / "start.out").read_text(encoding="utf-8", errors="replace")

    def begin(self, *, seconds: float = 60) -> None:
        """Start it and wait until it says that everything is ready."""
        ready = self.output.count("Ready in") if (self.folder / "start.out").exists() else 0
        with (self.folder / "start.out").open("ab") as out:
            self.starter = subprocess.Popen(
                [*self.prefix, sys.executable, "start.py"],
                cwd=ROOT,
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(f"start.py ready; see {self.folder}", lambda: self.output.count("Ready in") > ready, seconds=seconds)

    def part(self, name: str) -> int:
        """The pid of a part, from its pid file."""
        return int((self.run_folder / f"{name}.pid").read_text(encoding="ascii"))

    def family(self) -> set[int]:
        """start.py and all processes below it."""
        assert self.starter is not None
        starter = psutil.Process(self.starter.pid)
        return {starter.pid, *(child.pid for child in starter.children(recursive=True))}

    def signal(self, sign: signal.Signals = signal.SIGTERM, *, seconds: float = 60) -> int:
        """Send start.py a signal and wait for its end; the exit code."""
        assert self.starter is not None
        self.starter.send_signal(sign)
        return self.starter.wait(seconds)

    def stop(self) -> None:
        """End everything."""
        if self.starter is None or self.starter.poll() is not None:
            return
        try:
            self.signal()
        except subprocess.TimeoutExpired:
            for pid in self.family():
                psutil.Process(pid).kill()


def refusal(environment: dict[str, str], *, python: str = sys.executable) -> tuple[int, str]:
    """The exit code of a start.py that should not start, and what it says on stderr."""
    done = subprocess.run(
        [python, "start.py"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def gone(pids: set[int]) -> bool:
    """Whether none of these processes is alive."""
    return not any(re.match(r"running|sleeping|disk", _state(pid)) for pid in pids)


def _state(pid: int) -> str:
    try:
        return str(psutil.Process(pid).status())
    except psutil.NoSuchProcess:
        return "gone"
