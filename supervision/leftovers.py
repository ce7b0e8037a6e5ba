"""Parts of an earlier start that was killed: they end by themselves, and the next start waits for them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

#: Each part's command and the seconds it may take to end.
Commands = Mapping[str, tuple[Sequence[str], float]]


def end_leftovers(run: Path, commands: Commands, tell: Callable[[str], None]) -> None:
    """Wait for what the pid files in `run` name and still runs one of `commands`; kill what takes too long.

    The kernel has sent SIGTERM to each of them when the earlier start.py died (Linux).
    """
    for name, (command, patience) in commands.items():
        pid_file = run / f"{name}.pid"
        pid = _pid(pid_file)
        if pid is not None and _runs(pid, command):
            tell(f"{name:<9} of an earlier start still ends (pid {pid}); waiting for it")
            _await_end(pid, command, patience)
        pid_file.unlink(missing_ok=True)


def _pid(pid_file: Path) -> int | None:
    try:
        pid = int(pid_file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return pid if pid > 1 else None


def _runs(pid: int, command: Sequence[str]) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return False
    return words == [os.fsencode(word) for word in command]


def _await_end(pid: int, command: Sequence[str], patience: float) -> None:
    end = time.monotonic() + patience
    while _runs(pid, command):
        if time.monotonic() >= end:
            _kill_group(pid)
            return
        time.sleep(0.05)


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
    time.sleep(0.1)
