"""Whether the service stays as it is under endless work: memory, files, threads and Redis over many tasks.

    python -m benchmarks soak [--minutes 20 | --tasks N] [--ttl 60] [--every 10] [--json FILE]

`python start.py` with its defaults, but for RESULT_TTL (--ttl) and RUN_HISTORY (50), so that what ended is removed
while the soak goes on. It is sent code, HTTP and scheduled tasks, some that fail, are retried or print, as fast as it
takes them with at most 200 runs waiting. Then the table's columns are fitted against the runs that ended, without the
first of them (until RESULT_TTL has passed once): what would a further 100,000 runs add? In the end nothing more is
sent, everything is removed by its age, and what is left in Redis is told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import redis

from benchmarks import load
from benchmarks.contenders import ROOT, Ours
from benchmarks.mix import SCHEDULES, Line, Senders, get, schedule
from benchmarks.processes import Processes, free_port, wait_for_port
from benchmarks.samples import MIB, Parts, Sample, redis_sample, slope

#: Seconds to wait for the last runs, and after RESULT_TTL for the last removal.
PATIENCE = 120.0
PARTS = ("api", "worker", "sandbox", "beat", "flower", "redis", "start")
#: Columns of the table, and what a unit of theirs is.
COLUMNS = {
    **{f"{part} pss": MIB for part in PARTS},
    **dict.fromkeys(("fds", "threads"), 1),
    "redis used": MIB,
    "redis keys": 1,
    "redis aof": MIB,
}


def main(arguments: list[str]) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=20.0)
    length.add_argument("--tasks", type=int, help="end after so many submissions instead")
    parser.add_argument("--ttl", type=int, default=60, help="RESULT_TTL in seconds, at least 60")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two samples")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--brief", action="store_true", help="do not wait until everything is removed")
    parser.add_argument("--json", type=Path, help="write every sample here")
    options = parser.parse_args(arguments)
    with Ours(RESULT_TTL=str(options.ttl), RUN_HISTORY="50") as service:
        soak = Soak(service, options)
        asyncio.run(soak.run())
    found = soak.report()
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


class Soak:
    """One run of it."""

    def __init__(self, service: Ours, options: argparse.Namespace) -> None:
        self.service, self._options = service, options
        self.samples: list[Sample] = []
        #: Runs by how they ended, at the last sample.
        self.ended: dict[str, int] = {}
        self._parts = Parts(service.processes.pids[0], service.folder / "var" / "run")
        self._redis = redis.Redis(port=service.redis_port)
        self._line = Line(service.port, Senders(0, "", 0).answers)
        sink = free_port()
        self._sink = Processes(service.folder, {})
        self._sink.start(sys.executable, "-m", "benchmarks.sink", str(sink), folder=ROOT)
        wait_for_port(sink)
        self._senders = Senders(service.port, f"http://127.0.0.1:{sink}/", options.tasks or float("inf"))

    async def run(self) -> None:
        """Send, sample, let everything run out and be removed."""
        try:
            await asyncio.sleep(3)  # what is made after the first look at each part is made now
            self._begun = time.monotonic()
            await self._sample()
            ids = [(await self._line.ask("201", post("/api/tasks", schedule())))["id"] for _ in range(SCHEDULES)]
            await self._load()
            self._sent_until = time.monotonic() - self._begun
            for task_id in ids:
                await self._line.ask("200", post(f"/api/tasks/{task_id}/stop", {}))
            await self._until("runs wait or run", PATIENCE, self._idle)
            await self._sample()
            if not self._options.brief:
                await self._until("tasks are left", self._options.ttl + PATIENCE, self._removed)
                await self._sample()
        finally:
            self._sink.end()

    async def _load(self) -> None:
        senders = asyncio.create_task(self._senders.run(self._options.connections))
        end = float("inf") if self._options.tasks else self._begun + self._options.minutes * 60
        while not senders.done() and time.monotonic() < end:
            await asyncio.wait([senders], timeout=min(self._options.every, max(0.0, end - time.monotonic())))
            await self._sample()
        self._senders.end()
        await senders  # raises what went wrong in it

    async def _sample(self) -> None:
        sample = {"seconds": time.monotonic() - self._begun, "accepted": float(self._senders.accepted)}
        sample |= {"ended": float(sum((await self._ended()).values()))}
        sample |= await asyncio.to_thread(self._parts.sample)
        sample |= await asyncio.to_thread(redis_sample, self._redis)
        for figure in ("fds", "threads"):
            sample[figure] = sum(sample.get(f"{part} {figure}", 0) for part in PARTS)
        self.samples.append(sample)
        if len(self.samples) == 1:
            print(HEAD)
        print(line(sample), flush=True)

    async def _ended(self) -> dict[str, int]:
        """Runs by how they ended, since the first."""
        stats = await self._line.ask("200", get("/api/stats"))
        if stats is None:  # not answered: what was known before
            return self.ended
        found: dict[str, int] = {}
        for kind in stats["kinds"].values():
            for status, number in kind["ended"].items():
                found[status] = found.get(status, 0) + number
        self.ended = found
        return found

    async def _idle(self) -> bool:
        queues = (await self._line.ask("200", get("/api/health")) or {}).get("queues")
        return queues is not None and not any(queues.values())

    async def _removed(self) -> bool:
        return (await self._line.ask("200", get("/api/tasks?limit=1")) or {}).get("total") == 0

    async def _until(self, what: str, seconds: float, seen: Any) -> None:
        end = time.monotonic() + seconds
        while not await seen():
            if time.monotonic() > end:
                print(f"after {seconds:g} s {what} still", file=sys.stderr)
                return
            await asyncio.sleep(0.5)

    def report(self) -> dict[str, Any]:
        """All that was seen."""
        first, last = self.samples[0], self.samples[-1]
        warm_after = min(self._options.ttl, self._sent_until / 2)
        warm = [one for one in self.samples if warm_after <= one["seconds"] <= self._sent_until]
        counts = [one["ended"] for one in warm]
        enough = len(warm) > 2 and len(set(counts)) > 1
        slopes = {name: slope(counts, [one.get(name, 0.0) for one in warm]) for name in COLUMNS if enough}
        return {
            "cores": os.cpu_count(),
            "ttl": self._options.ttl,
            "seconds": self._sent_until,
            "answers": dict(self._senders.answers),
            "ended": self.ended,
            "restarts": self._parts.restarts,
            "slopes a run": slopes,
            "fitted samples": len(warm),
            "left": {name: last[name] - first[name] for name in ("redis used", "redis keys", "fds", "threads")},
            "samples": self.samples,
        }


def post(path: str, body: Any) -> bytes:
    """A POST of JSON as it goes over the wire."""
    return load.post(path, json.dumps(body).encode())


WIDE = 9
HEAD = f"{'minute':>7}{'runs':>9}" + "".join(
    f"{name.removesuffix(' pss').replace('redis ', ''):>{WIDE}}" for name in COLUMNS
)


def line(sample: Sample) -> str:
    """A sample as a line of the table; what is memory (PSS of the parts) in MiB."""
    cells = "".join(f"{sample.get(name, 0) / unit:{WIDE}.{0 if unit == 1 else 1}f}" for name, unit in COLUMNS.items())
    return f"{sample['seconds'] / 60:7.1f}{sample['ended']:9.0f}{cells}"


def show(found: dict[str, Any]) -> None:
    """What it comes to."""
    ended = sum(found["ended"].values())
    print(f"\n{ended} runs ended in {found['seconds'] / 60:.1f} min: {found['ended']}")
    print(f"answers to submissions and reads: {found['answers']}; parts that fell: {found['restarts']}")
    print(f"\na further 100,000 runs add, by {found['fitted samples']} samples (least squares, standard error):")
    for name, (grows, error) in found["slopes a run"].items():
        unit, what = COLUMNS[name], "MiB" if COLUMNS[name] == MIB else ""
        print(f"  {name:<14}{grows * 1e5 / unit:+10.2f} ± {error * 1e5 / unit:.2f} {what}")
    left = found["left"]
    print(
        f"more than at first: {left['redis used'] / MIB:+.2f} MiB and {left['redis keys']:+.0f} keys"
        f" in Redis, {left['fds']:+.0f} open files, {left['threads']:+.0f} threads"
    )
