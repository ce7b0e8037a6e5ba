"""Measures the service beside its peers, taking turns on this machine, and prints medians, spread and ratios.

    python -m benchmarks [measure ...] [--rounds 3] [--count N] [--json FILE]
    python -m benchmarks schedules --help       (studies of their own)
    python -m benchmarks soak --help
    python -m benchmarks listing --help
    python -m benchmarks cost --help
    python -m benchmarks curves --help          (and plot, which draws them)

Each contender is started once and the rounds go over all of them in turn (A B C A B C): on a machine that does other
things too only ratios taken in one run mean anything.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import cost, listing, plot, schedules, soak
from benchmarks.contenders import make
from benchmarks.measures import MEASURES, Figures, Measure

#: Contenders that get so many times fewer tasks, so that they do not take minutes for a round.
SLOWER = {"rq": 10}
#: What takes arguments of its own.
STUDIES = {
    "schedules": schedules.main,
    "soak": soak.main,
    "listing": listing.main,
    "cost": cost.main,
    "curves": plot.curves,
    "plot": plot.main,
}


def main() -> None:
    """Run what the command line asks for."""
    if sys.argv[1:] and sys.argv[1] in STUDIES:
        STUDIES[sys.argv[1]](sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measures", nargs="*", metavar="measure", help=f"one of {', '.join(MEASURES)}; all if none")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, help="tasks in one round, instead of each measure's own number")
    parser.add_argument("--only", nargs="+", help="these contenders and no others")
    parser.add_argument("--json", type=Path, help="write every figure of every round here")
    options = parser.parse_args()
    unknown = set(options.measures) - set(MEASURES)
    if unknown:
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    found: dict[str, Any] = {"machine": machine(), "measures": {}}
    print(", ".join(f"{name}: {value}" for name, value in found["machine"].items()))
    for name in options.measures or MEASURES:
        measure = MEASURES[name]
        names = [one for one in measure.contenders if not options.only or one in options.only]
        rounds = run(measure, names, options.rounds, options.count or measure.count)
        found["measures"][name] = rounds
        show(name, measure, rounds)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Where this runs, and how busy it was with other things."""
    return {
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def run(measure: Measure, names: list[str], rounds: int, count: int) -> dict[str, list[Figures]]:
    """Figures of each round, by contender."""
    found: dict[str, list[Figures]] = {name: [] for name in names}
    if measure.fresh:
        for name in names * rounds:
            with make(name) as contender:
                found[name].append(measure.round(contender, count))
        return found
    with contextlib.ExitStack() as running:
        contenders = [running.enter_context(make(name)) for name in names]
        for contender in contenders:
            measure.round(contender, min(count, 50))  # what is made on first use is made now
        for _ in range(rounds):
            for contender in contenders:
                found[contender.name].append(measure.round(contender, count // SLOWER.get(contender.name, 1)))
    return found


def show(name: str, measure: Measure, rounds: dict[str, list[Figures]]) -> None:
    """The table of one measure."""
    figures = list(next(iter(rounds.values()))[0])
    print(f"\n{name}: {measure.title}")
    print(f"{'':<10}" + "".join(f"{figure:>14}{'spread':>16}" for figure in figures) + f"{'ours is':>12}{'goal':>10}")
    middle = {one: {f: statistics.median(r[f] for r in all_) for f in figures} for one, all_ in rounds.items()}
    for one, all_ in rounds.items():
        cells = ""
        for figure in figures:
            values = [figure_of[figure] for figure_of in all_]
            cells += f"{middle[one][figure]:14.1f}{f'{min(values):.1f}..{max(values):.1f}':>16}"
        if one != "ours" and "ours" in middle:
            cells += f"{middle['ours'][figures[0]] / middle[one][figures[0]]:10.2f} x"
            goal = measure.goals.get(one)
            cells += f"{'>=' if measure.more_is_better else '<='} {goal:g}".rjust(10) if goal else ""
        print(f"{one:<10}{cells}")


if __name__ == "__main__":
    main()
