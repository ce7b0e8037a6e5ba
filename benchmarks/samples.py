"""What a running service holds: memory, open files and threads of each of its parts, and what is in its Redis."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import redis

from benchmarks.processes import stack

MIB = 1 << 20
Sample = dict[str, float]


class Parts:
    """The processes of one `start.py`, by the part that they belong to; the sandbox's are a part of their own."""

    def __init__(self, supervisor: int, run: Path) -> None:
        """`run` is the folder of its pid files."""
        self._supervisor, self._run = supervisor, run
        self._seen: dict[str, int] = {}
        #: How often a part was found under another pid than before.
        self.restarts = 0

    def pids(self) -> dict[str, list[int]]:
        """All processes now."""
        found: dict[str, list[int]] = {"start": [self._supervisor], "sandbox": []}
        for file in sorted(self._run.glob("*.pid")):
            with contextlib.suppress(OSError, ValueError):
                pid = int(file.read_text())
                self.restarts += self._seen.get(file.stem, pid) != pid
                self._seen[file.stem] = pid
                for each in stack([pid]):
                    found.setdefault("sandbox" if _is_sandbox(each) else file.stem, []).append(each)
        return found

    def sample(self) -> Sample:
        """`{part} rss`, `{part} pss` (bytes), `{part} fds` and `{part} threads` of each part."""
        found: Sample = {}
        for part, pids in self.pids().items():
            held = [_held(pid) for pid in pids]
            for figure in ("rss", "pss", "fds", "threads"):
                found[f"{part} {figure}"] = sum(one[figure] for one in held)
        return found


def _is_sandbox(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"tasks.sandbox.zygote" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _held(pid: int) -> Sample:
    """What one process holds; nothing where it has ended meanwhile."""
    found = dict.fromkeys(("rss", "pss", "fds", "threads"), 0.0)
    with contextlib.suppress(OSError):
        told = _fields(Path(f"/proc/{pid}/smaps_rollup")) | _fields(Path(f"/proc/{pid}/status"))
        found["rss"], found["pss"] = told["Rss"] * 1024.0, told["Pss"] * 1024.0
        found["threads"] = float(told["Threads"])
        found["fds"] = float(len(list(Path(f"/proc/{pid}/fd").iterdir())))
    return found


def _fields(file: Path) -> dict[str, int]:
    """The numbers of a file of lines such as `Rss:  100 kB`."""
    lines = (line.split() for line in file.read_text().splitlines())
    return {line[0].rstrip(":"): int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}


def redis_sample(client: redis.Redis) -> Sample:
    """`redis used` in bytes, `redis keys`, and `redis aof`, the bytes of its file."""
    told: Mapping[str, int] = client.info("everything")
    sizes = {"redis used": told["used_memory"], "redis aof": told.get("aof_current_size", 0)}
    return {name: float(value) for name, value in sizes.items()} | {"redis keys": float(client.dbsize())}


def slope(counts: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """How much `values` grow with each of `counts` (three or more), by least squares, and its standard error."""
    line = statistics.linear_regression(counts, values)
    rest = sum((y - line.intercept - line.slope * x) ** 2 for x, y in zip(counts, values, strict=True))
    middle = statistics.fmean(counts)
    spread = sum((x - middle) ** 2 for x in counts)
    return line.slope, (rest / (len(counts) - 2) / spread) ** 0.5
