"""One child process: how it is started, what it prints, how it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

#: Lines of a child kept to show why it failed, and the longest line kept.
TAIL = 30
LONGEST_LINE = 2000

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def adopt_orphans() -> None:
    """Make this process the parent of its descendants whose own parent dies (Linux), so that none is ever forgotten."""
    if _prctl is not None:
        _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_strays(known: frozenset[int]) -> None:
    """Kill and bury every child of this process that is not `known`: what a child that died has left behind."""
    for pid in _children() - known:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue


def _children() -> set[int]:
    found: set[int] = set()
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(int(pid) for pid in listing.read_text(encoding="ascii").split())
        except OSError:
            continue  # that thread has ended
    return found


def _die_with_parent() -> None:
    """Runs in the child before its program: SIGTERM comes to it when the thread that started it ends."""
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


class Process:
    """A running child in a session of its own. Made, polled and ended by the main thread only."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        given: str,
        listen: Callable[[str], None],
    ) -> None:
        """Start `command` in `folder`; `given` is its standard input, and `listen` gets each line that it prints.

        Raises OSError where the program cannot be started.
        """
        self._child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - calls one C function, looked up beforehand
        )
        self.pid = self._child.pid
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._listen = listen
        self._hand_over(given)
        self._reader = threading.Thread(target=self._read, name=f"output of {self.pid}", daemon=True)
        self._reader.start()

    def _hand_over(self, given: str) -> None:
        try:
            with cast(IO[bytes], self._child.stdin) as pipe:
                pipe.write(given.encode())
        except BrokenPipeError:
            return  # it has ended already; poll tells

    def _read(self) -> None:
        with cast(IO[bytes], self._child.stdout) as output:
            while line := output.readline(LONGEST_LINE):
                text = line.decode("utf-8", "replace").rstrip()
                self._tail.append(text)
                self._listen(text)

    def poll(self) -> int | None:
        """None while it runs, then its exit code (negative: the signal). Nothing of its process group outlives it."""
        if self._child.returncode is None and self._has_ended():
            self.kill()
        return self._child.returncode

    def _has_ended(self) -> bool:
        if not hasattr(os, "waitid"):  # macOS
            return self._child.poll() is not None
        # WNOWAIT leaves it unburied: its number, and that of its group, cannot be another's yet.
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _kill_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return

    def ask_to_end(self) -> None:
        """Send SIGTERM, where it still runs."""
        if self.poll() is None:
            self._child.terminate()

    def kill(self) -> None:
        """Kill it and its process group, and wait for the end."""
        self._kill_group()
        self._child.wait()

    def last_lines(self) -> list[str]:
        """The end of what it printed."""
        self._reader.join(timeout=0.5 if self._child.returncode is not None else 0)
        return list(self._tail)
