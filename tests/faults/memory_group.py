"""A bound on memory that the kernel enforces by killing: a control group of its own, where the machine allows one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


class MemoryGroup:
    """A control group, version 1 or 2, for processes that are to run out of memory. Use as a context manager.

    Making one raises OSError where that is not allowed (it takes root, outside a container without privileges).
    """

    def __init__(self, limit: int) -> None:
        """`limit` in bytes; what a process had before it joined is not counted."""
        self._limit = limit
        first = ROOT / "memory"
        self._old = first.is_dir()
        self._folder = (first if self._old else ROOT) / f"tms-{os.getpid()}"

    def __enter__(self) -> MemoryGroup:
        self._folder.mkdir()
        try:
            name = "memory.limit_in_bytes" if self._old else "memory.max"
            (self._folder / name).write_text(str(self._limit), encoding="ascii")
            swap = self._folder / ("memory.memsw.limit_in_bytes" if self._old else "memory.swap.max")
            if swap.exists():
                swap.write_text(str(self._limit if self._old else 0), encoding="ascii")
        except OSError:
            self._folder.rmdir()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def join(self, pid: int) -> None:
        """Put a process into the group; its children stay where they are."""
        (self._folder / "cgroup.procs").write_text(str(pid), encoding="ascii")

    @property
    def kills(self) -> int:
        """How many processes the kernel has killed for want of memory."""
        events = self._folder / ("memory.oom_control" if self._old else "memory.events")
        counts = dict(line.split() for line in events.read_text(encoding="ascii").splitlines())
        return int(counts["oom_kill"])
