"""How late schedules fire that are all due at the same minute, and how soon a scheduler with that many is ready.

    python -m benchmarks schedules [--counts 1000 10000] [--minutes 3] [--only ours redbeat] [--json FILE]

One scheduler after the other, over some minutes each. The delay is from the minute to the moment at which a run is in
the workers' queue. `ours` is the whole service, whose workers run each task in the sandbox meanwhile; `our beat`, like
its peers, is a scheduler and Redis alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.beats import KINDS, make

#: What is to be reached, in seconds: of 1,000 the 99th in a hundred, of 10,000 the last, and until 10,000 are loaded.
GOALS = "p99 of 1,000 <= 0.15 s, last of 10,000 <= 2 s, load of 10,000 <= 1 s"
#: Seconds before a minute at which a scheduler must be ready to be measured in it.
AHEAD = 3.0
Row = dict[str, Any]


def main(arguments: list[str]) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks schedules", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", nargs="+", type=int, default=[1000, 10000])
    parser.add_argument("--minutes", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--json", type=Path, help="write every figure here")
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    print(f"{'':<10}{'schedules':>10}{'fired':>8}{'p50 s':>9}{'p99 s':>9}{'last s':>9}{'load s':>9}   (goals: {GOALS})")
    for count in options.counts:
        for name in options.only:
            rows.append(measure(name, count, options.minutes))
            show(rows[-1])
    compare(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def measure(name: str, count: int, minutes: int) -> Row:
    """Figures of one scheduler: medians over the minutes, and each minute's own."""
    wait_for_quiet()
    found = []
    with make(name, count) as scheduler:
        for _ in range(minutes):
            minute = next_minute()
            time.sleep(max(0.0, minute - time.time() - 0.5))
            found.append(figures(scheduler.delays(minute)))
        load = scheduler.load
    middle = {figure: statistics.median(one[figure] for one in found) for figure in found[0]}
    return {"name": name, "count": count, "load": load, **middle, "minutes": found}


def wait_for_quiet() -> None:
    """Return in the first ten seconds of a minute, so that a scheduler loads while nothing is due."""
    past = time.time() % 60
    if past > 10:
        time.sleep(60.5 - past)


def next_minute() -> float:
    """The next minute that is not too near."""
    return (int(time.time() + AHEAD) // 60 + 1) * 60.0


def figures(delays: list[float]) -> dict[str, float]:
    """What the delays of one minute come to, in seconds; without any fired, all are infinite."""
    ordered = sorted(delays) or [float("inf")]
    return {
        "fired": float(len(delays)),
        "p50": statistics.median(ordered),
        "p99": ordered[int(len(ordered) * 0.99)],
        "last": ordered[-1],
    }


def show(row: Row) -> None:
    """One line of the table."""
    load = f"{row['load']:9.2f}" if row["load"] else f"{'-':>9}"
    cells = "".join(f"{row[figure]:9.3f}" for figure in ("p50", "p99", "last"))
    print(f"{row['name']:<10}{row['count']:>10}{row['fired']:>8.0f}{cells}{load}", flush=True)


def compare(rows: list[Row]) -> None:
    """How often better ours is than each peer, by the figure that the goal is about."""
    for ours in (row for row in rows if row["name"].startswith("our")):
        figure = "p99" if ours["count"] <= 1000 else "last"
        for peer in (row for row in rows if not row["name"].startswith("our") and row["count"] == ours["count"]):
            short = "" if peer["fired"] >= peer["count"] else f", which fired {peer['fired']:.0f} in time"
            better = peer[figure] / ours[figure]
            who = f"{ours['name']} is {better:.1f} x better than {peer['name']}"
            print(f"{ours['count']} schedules, {figure}: {who}{short}")
