"""The terminal of `start.py`: whole lines, written by one thread, so that a stuck or closed terminal stops nobody."""

from __future__ import annotations

import os
import queue
import sys
import threading
from datetime import datetime

#: Lines kept for a terminal that does not take them; further ones are dropped.
BACKLOG = 2000


class Console:
    """Prints lines to standard output, whatever becomes of it."""

    def __init__(self, *, verbose: bool) -> None:
        """`verbose`: also pass on every line that the children print."""
        self._verbose = verbose
        self._lines: queue.Queue[str | None] = queue.Queue(BACKLOG)
        self._writer = threading.Thread(target=self._write, name="console", daemon=True)
        self._writer.start()

    def say(self, line: str) -> None:
        """Print a line of our own."""
        self._put(line)

    def note(self, line: str) -> None:
        """Print a line of our own with the time of day, for what happens later."""
        self._put(f"{datetime.now().astimezone():%H:%M:%S}  {line}")

    def pass_on(self, name: str, line: str, *, important: bool) -> None:
        """Print what the child `name` printed, where it is important or everything is wanted."""
        if important or self._verbose:
            self._put(f"{name:<7} | {line}")

    def close(self, *, timeout: float = 1.0) -> None:
        """Print what is left; `timeout` in seconds, for a terminal that does not take it."""
        self._put(None)
        self._writer.join(timeout)

    def _put(self, line: str | None) -> None:
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            return

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            left = f"{line}\n".encode(sys.stdout.encoding if sys.stdout else "utf-8", "replace")
            try:
                while left:
                    left = left[os.write(1, left) :]
            except OSError:
                continue  # nobody reads any more; the service goes on, its log file has everything
