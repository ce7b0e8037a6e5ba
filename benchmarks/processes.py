"""Processes that a benchmark starts, each in a session of its own, and ends by its pid."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, seconds: float = 60) -> None:
    """Return once somebody listens there. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


class Processes:
    """Some processes with one log, ended together, last one first."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._environment = {**os.environ, **environment}
        self._running: list[subprocess.Popen[bytes]] = []

    @property
    def log(self) -> Path:
        """What they print."""
        return self.folder / "output.log"

    @property
    def pids(self) -> list[int]:
        """Those that were started here."""
        return [process.pid for process in self._running]

    def start(self, *command: str, folder: Path | None = None) -> None:
        """Start one in `folder`."""
        with self.log.open("ab") as out:
            self._running.append(
                subprocess.Popen(
                    command,
                    cwd=folder or self.folder,
                    env=self._environment,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def end(self, patience: float = 20) -> None:
        """SIGTERM, and SIGKILL for what takes longer than `patience` seconds."""
        for process in reversed(self._running):
            process.terminate()
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(patience)
        self._running.clear()


def stack(pids: Sequence[int]) -> list[int]:
    """These processes and all below them."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def memory(pids: Sequence[int]) -> float:
    """MiB that these processes and all below them hold, shared pages counted once (PSS)."""
    total = 0
    for pid in stack(pids):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024
