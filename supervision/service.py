"""One part of the service over its life: started, ready, fallen, started again after a pause."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from supervision.console import Console
from supervision.process import Process

#: Seconds before a part that fell is started again: doubled each time, from the first to the longest.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
#: Seconds of health after which earlier falls are forgotten.
FORGIVEN_AFTER = 60.0

#: An entry of config/logs.py: a moment, a level; what follows an important one (a traceback) belongs to it.
ENTRY = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+Z (?P<level>[A-Z]+) ")
IMPORTANT = frozenset({"WARNING", "ERROR", "CRITICAL"})


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to run one part."""

    name: str
    command: Sequence[str]
    #: Whether the part that runs as this pid, for so many seconds, does its work.
    is_ready: Callable[[int, float], bool]
    #: Seconds between SIGTERM and SIGKILL.
    grace: float
    #: What it gets on standard input.
    given: str = ""
    #: What the line that says it is ready says besides.
    remark: str = ""


class Service:
    """Runs one Plan; the supervisor calls its methods in turn, from the main thread."""

    def __init__(
        self, plan: Plan, *, environment: Mapping[str, str], folder: Path, run: Path, console: Console
    ) -> None:
        self.plan = plan
        self.ready = False
        self.restart_at = 0.0
        self.falls = 0
        self._environment = environment
        self._folder = folder
        self._pid_file = run / f"{plan.name}.pid"
        self._console = console
        self._process: Process | None = None
        self._running = False
        self._started_at = 0.0
        self._passing_on = False

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        return self._process.pid if self._process and self._running else None

    @property
    def age(self) -> float:
        """Seconds since it was started last."""
        return time.monotonic() - self._started_at

    def start(self) -> str | None:
        """Start its process; what went wrong, where it could not be started."""
        self._passing_on = False
        self._started_at = time.monotonic()
        try:
            self._process = Process(
                self.plan.command,
                environment=self._environment,
                folder=self._folder,
                given=self.plan.given,
                listen=self._hear,
            )
        except OSError as error:
            return f"cannot be started ({error.strerror}); {self._pause()}"
        self._running = True
        try:
            write_whole(self._pid_file, f"{self._process.pid}\n")
        except OSError as error:
            return f"runs, but {self._pid_file} cannot be written ({error.strerror})"
        return None

    def _hear(self, line: str) -> None:
        entry = ENTRY.match(line)
        if entry:
            self._passing_on = entry["level"] in IMPORTANT
        self._console.pass_on(self.plan.name, line, important=self._passing_on)

    def look(self) -> bool:
        """Whether it has become ready since the last look."""
        if self.ready or self.pid is None:
            return False
        self.ready = self.plan.is_ready(self.pid, self.age)
        return self.ready

    def fallen(self) -> str | None:
        """How it ended, where it did so unasked since the last look; it is to be started again at `restart_at`."""
        code = self._process.poll() if self._process and self._running else None
        if code is None:
            return None
        if self.age > FORGIVEN_AFTER:
            self.falls = 0
        self._gone()
        return f"{ending(code)} after {self.age:.1f} s; {self._pause()}"

    def _pause(self) -> str:
        pause = min(FIRST_PAUSE * 2**self.falls, LONGEST_PAUSE)
        self.falls += 1
        self.restart_at = time.monotonic() + pause
        return f"it is started again in {pause:g} s"

    def last_lines(self) -> list[str]:
        """The end of what it printed, also after it ended."""
        return self._process.last_lines() if self._process else []

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        if self._process and self._running:
            self._process.ask_to_end()

    def has_ended(self) -> bool:
        """Whether nothing of it runs any more."""
        if self._process and self._running and self._process.poll() is not None:
            self._gone()
        return not self._running

    def kill(self) -> None:
        """End it at once."""
        if self._process and self._running:
            self._process.kill()
            self._gone()

    def _gone(self) -> None:
        self._running = False
        self.ready = False
        self._pid_file.unlink(missing_ok=True)


def ending(code: int) -> str:
    """How a process ended, in words, from its return code (negative: the signal)."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def write_whole(path: Path, text: str) -> None:
    """Write a file that nobody ever sees in parts."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
