"""What a task costs: processor time by part, commands and round trips to Redis, bytes on its wire and in its memory.

    python -m benchmarks cost [--count 2000] [--workers 1] [--connections 8] [--json FILE]

`python start.py` with its defaults is sent code tasks, then HTTP tasks, then code tasks a thousand in each POST; each
until all have ended. Processor time is of /proc, so that children count once they have ended; the rest is Redis' own
count. What a part costs while nothing is to be done is measured first and taken off.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import redis

from benchmarks import load
from benchmarks.contenders import ROOT, Ours
from benchmarks.processes import Processes, free_port, wait_for_port
from benchmarks.samples import Parts

TICKS = os.sysconf("SC_CLK_TCK")
IDLE_SECONDS = 8.0
Cost = dict[str, float]


def main(arguments: list[str]) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=1, help="WORKER_PROCESSES")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--json", type=Path, help="write every figure here")
    options = parser.parse_args(arguments)
    with Ours(WORKER_PROCESSES=str(options.workers)) as service:
        found = Costs(service).measure(options.count, options.connections)
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


class Costs:
    """Measures one running service."""

    def __init__(self, service: Ours) -> None:
        self._service = service
        self._parts = Parts(service.processes.pids[0], service.folder / "var" / "run")
        self._redis = redis.Redis(port=service.redis_port)

    def measure(self, count: int, connections: int) -> dict[str, Cost]:
        """By sort of task: what one costs, and `tasks/s`."""
        load.to_the_end(
            self._service.port, self._task(), count=min(count, 200), connections=connections
        )  # made on first use
        before = self._read()
        time.sleep(IDLE_SECONDS)
        idle = {name: (value - before[name]) / IDLE_SECONDS for name, value in self._read().items()}
        with self._sink() as url:
            sorts = {
                "code": (self._task(), count, connections),
                "http": (self._task(api_url=url), count, connections),
            }
            found = {name: self._one(idle, *how) for name, how in sorts.items()}
            together = min(count, 1000)
            return found | {"batch": self._one(idle, self._batch(together), count // together, 1, together)}

    def _one(self, idle: Cost, request: bytes, posts: int, connections: int, together: int = 1) -> Cost:
        before, started = self._read(), time.monotonic()
        load.submit(self._service.port, request, count=posts, connections=connections)
        self._await(before["tasks"] + posts * together)
        seconds, after = time.monotonic() - started, self._read()
        tasks = after["tasks"] - before["tasks"]
        spent = {name: (after[name] - before[name] - idle[name] * seconds) / tasks for name in after if name != "tasks"}
        return {"tasks/s": tasks / seconds, **spent}

    def _await(self, tasks: float) -> None:
        """Until so many have ended; asks Redis, for the API's time is measured."""
        end = time.monotonic() + load.GIVE_UP
        while self._ended() < tasks:
            if time.monotonic() > end:
                raise TimeoutError(f"of {tasks:.0f} tasks {self._ended():.0f} have ended")
            time.sleep(0.1)

    def _ended(self) -> float:
        counters = self._redis.hgetall("{tms}:counters")
        return float(sum(int(value) for name, value in counters.items() if name.startswith(b"ended:")))

    def _task(self, **fields: Any) -> bytes:
        return load.post("/api/tasks", self._service.body(**fields))

    def _batch(self, size: int) -> bytes:
        return load.post("/api/tasks/batch", b'{"tasks": [' + b", ".join([self._service.body()] * size) + b"]}")

    @contextlib.contextmanager
    def _sink(self) -> Any:
        port, sink = free_port(), Processes(self._service.folder, {})
        sink.start(sys.executable, "-m", "benchmarks.sink", str(port), folder=ROOT)
        try:
            wait_for_port(port)
            yield f"http://127.0.0.1:{port}/"
        finally:
            sink.end()

    def _read(self) -> Cost:
        """Counts so far: `{part} ms`, `round trips`, `scripts`, `commands`, bytes, and tasks that have ended."""
        found: Cost = {}
        for part, pids in self._parts.pids().items():
            found[f"{part.split('-')[0]} ms"] = found.get(f"{part.split('-')[0]} ms", 0) + sum(map(spent, pids))
        told = self._redis.info("everything")
        calls = {name.removeprefix("cmdstat_"): stat for name, stat in told.items() if name.startswith("cmdstat_")}
        scripts = sum(stat["calls"] for name, stat in calls.items() if name.startswith(("evalsha", "eval", "fcall")))
        return found | {
            "scripts": float(scripts),
            "commands": float(sum(stat["calls"] for stat in calls.values())),
            "wire bytes": float(told["total_net_input_bytes"] + told["total_net_output_bytes"]),
            "memory bytes": float(told["used_memory"]),
            "tasks": self._ended(),
        }


def spent(pid: int) -> float:
    """Milliseconds of processor time of a process and of those below it that have ended and were waited for."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) * 1000 / TICKS
    return 0.0


def show(found: dict[str, Cost]) -> None:
    """A column for each sort of task, a row for each figure."""
    print(f"{'a task':<16}" + "".join(f"{sort:>12}" for sort in found))
    for figure in next(iter(found.values())):
        print(f"{figure:<16}" + "".join(f"{cost[figure]:12.2f}" for cost in found.values()))
    print(f"{'all ms':<16}" + "".join(f"{total(cost):12.2f}" for cost in found.values()))


def total(cost: Cost) -> float:
    """Milliseconds of all parts."""
    return sum(value for name, value in cost.items() if name.endswith(" ms"))
