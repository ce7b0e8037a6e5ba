"""Pictures of what was measured: POST/s against connections, and how the latencies of one connection are spread.

    python -m benchmarks curves [--count 400] [--rounds 3] --json FILE      measures, ours and the peers in turn
    python -m benchmarks plot FILE [--folder docs/explain]                  draws rate.svg and latency.svg

Drawing needs matplotlib, which is installed with the peers in benchmarks/peers/.venv on first use.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import load
from benchmarks.contenders import PEERS, PYTHON, Contender, make, make_environment

CONTENDERS = ("ours", "diy", "huey", "dramatiq")
CONNECTIONS = (1, 2, 4, 8, 16, 32)


def curves(arguments: list[str]) -> None:
    """Measure what `plot` draws."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks curves", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=400, help="POSTs for each point")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args(arguments)
    found: dict[str, Any] = {
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "load": os.getloadavg()[0],
        "at": datetime.now(UTC).strftime("%Y-%m-%d"),
        "rates": {name: {str(many): [] for many in CONNECTIONS} for name in options.only},
        "latencies": {name: [] for name in options.only},
    }
    with contextlib.ExitStack() as running:
        contenders = [running.enter_context(make(name)) for name in options.only]
        for _ in range(options.rounds):
            for many in CONNECTIONS:
                for one in contenders:
                    found["rates"][one.name][str(many)].append(rate(one, options.count, many))
            for one in contenders:
                found["latencies"][one.name] += latencies(one, options.count // 4)
    options.json.write_text(json.dumps(found) + "\n", encoding="utf-8")
    for name, rates in found["rates"].items():
        cells = (f"{many}: {statistics.median(all_):.0f}" for many, all_ in rates.items())
        print(f"{name:<10} POST/s by connections  {', '.join(cells)}")


def rate(contender: Contender, count: int, connections: int) -> float:
    """POST/s; what was submitted runs out before the next is measured."""
    request = load.post("/api/tasks", contender.body())
    loaded = load.submit(contender.port, request, count=count, connections=connections)
    load.one_by_one(contender.port, request, count=1)
    return count / loaded.seconds


def latencies(contender: Contender, count: int) -> list[float]:
    """Milliseconds from POST to the end seen, one after the other."""
    loaded = load.one_by_one(contender.port, load.post("/api/tasks", contender.body()), count=count)
    return [seconds * 1000 for seconds in loaded.latencies]


def main(arguments: list[str]) -> None:
    """Draw what was measured."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks plot", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("docs/explain"))
    options = parser.parse_args(arguments)
    make_environment()
    draw = [str(PYTHON), str(PEERS / "draw.py"), str(options.file.resolve()), str(options.folder.resolve())]
    subprocess.run(draw, check=True)
