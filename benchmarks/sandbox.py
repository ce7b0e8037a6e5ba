"""What a sandboxed run costs, next to the ways it could be done, taken alternately in one run.

    python benchmarks/sandbox.py [--rounds 200] [--threads 2] [--one-core]

in process        exec() of the source in this process: no containment, the floor
python -I         a fresh interpreter that imports RestrictedPython, compiles, runs and ends, once for each run: what
                  ours does, without containment
python -I, bare   a fresh interpreter that compiles plain Python, runs and ends: no language layer, no containment
bubblewrap        as `python -I`, inside `bwrap`, where that is installed and works
cold              the sandbox, with a source it has never seen: compiled in one child, run in another
warm              the sandbox, with a source whose code it has kept

CPU is what this process, the zygotes and all that were started used of the processor for one run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tasks.model import Done, Limits
from tasks.report import Report
from tasks.sandbox import Sandbox

SOURCE = 'def hello():\n    return "Hello World!"'
FRESH = """
from RestrictedPython import compile_restricted, safe_globals
space = dict(safe_globals)
exec(compile_restricted('def hello():\\n    return "Hello World!"', "<task>", "exec"), space)
print(space["hello"]())
"""
BARE = """
space = {}
exec(compile('def hello():\\n    return "Hello World!"', "<task>", "exec"), space)
print(space["hello"]())
"""
#: What runs/s are set against.
BASES = ("python -I", "python -I, bare")
LIMITS = Limits(timeout=30, max_result_bytes=1_000)
BWRAP = ["bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all", "--die-with-parent"]


def in_process() -> None:
    space: dict[str, object] = {}
    exec(compile(SOURCE, "<task>", "exec"), space)  # noqa: S102 - the floor to measure against
    assert space["hello"]() == "Hello World!"  # type: ignore[operator]


def program(code: str, *prefix: str) -> Callable[[], None]:
    command = [*prefix, sys.executable, "-I", "-c", code]

    def run() -> None:
        done = subprocess.run(command, capture_output=True, check=True)
        assert done.stdout == b"Hello World!\n"

    return run


class Sandboxed:
    """Runs in one sandbox, with the same source or with one that is new each time."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._number = time.time_ns()

    def run(self, source: str) -> None:
        outcome = self._sandbox.run(
            source=source, function_name="hello", args=[], kwargs={}, limits=LIMITS, report=Report(1_000)
        )
        assert outcome == Done(value="Hello World!"), outcome

    def warm(self) -> None:
        self.run(SOURCE)

    def cold(self) -> None:
        self._number += 1
        self.run(f"{SOURCE}  # {self._number}")


def measure(ways: dict[str, Callable[[], None]], rounds: int, pause: float) -> dict[str, list[float]]:
    """Seconds of each run, the ways taking turns; `pause` seconds lie between two runs."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for run in ways.values():
        run()
    for number in range(rounds):
        for name, run in ways.items():
            if number % 10 and name in (*BASES, "bubblewrap"):
                continue  # a tenth of the rounds says enough about the slow ones
            time.sleep(pause)
            started = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - started)
    return taken


def cpu() -> float:
    """Seconds of processor time that this process, those below it and those that ended have used."""
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children()):
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


class Rate(NamedTuple):
    runs_per_second: float
    cpu_ms: float


def throughput(ways: dict[str, Callable[[], None]], threads: int, seconds: float, turns: int) -> dict[str, Rate]:
    """Runs a second, `threads` at once, and processor time for one, the ways taking turns."""
    runs, took, used = dict.fromkeys(ways, 0), dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
    for name, run in list(ways.items()) * turns:
        before, started = cpu(), time.monotonic()
        end = started + seconds / turns

        def work(_: int, run: Callable[[], None] = run, end: float = end) -> int:
            count = 0
            while time.monotonic() < end:
                run()
                count += 1
            return count

        with ThreadPoolExecutor(threads) as pool:
            runs[name] += sum(pool.map(work, range(threads)))
        took[name] += time.monotonic() - started
        time.sleep(0.1)  # whoever tidies up after the last run is counted too
        used[name] += cpu() - before
    return {name: Rate(runs[name] / took[name], used[name] / runs[name] * 1000) for name in ways}


def working_bubblewrap() -> bool:
    if shutil.which("bwrap") is None:
        return False
    return subprocess.run([*BWRAP, "true"], capture_output=True, check=False).returncode == 0


def show(taken: dict[str, list[float]], rates: dict[str, Rate]) -> None:
    middles = {name: statistics.median(times) for name, times in taken.items()}
    print(f"{'':<17}{'':>6}{'':>9}{'':>9}{'':>9}{'':>9}   against python -I    against it bare")
    print(
        f"{'way':<17}{'runs':>6}{'p50 ms':>9}{'p99 ms':>9}{'runs/s':>9}{'CPU ms':>9}" + f"{'p50':>10}{'runs/s':>9}" * 2
    )
    for name, times in taken.items():
        line = (
            f"{name:<17}{len(times):>6}{middles[name] * 1000:9.2f}{sorted(times)[int(len(times) * 0.99)] * 1000:9.2f}"
        )
        if name in rates:
            line += f"{rates[name].runs_per_second:9.0f}{rates[name].cpu_ms:9.2f}"
            for base in BASES:
                share = f"1/{middles[base] / middles[name]:.1f}"
                line += f"{share:>10}{rates[name].runs_per_second / rates[base].runs_per_second:8.1f}x"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2, help="runs at once when counting runs/s")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long runs/s are counted, for each way")
    parser.add_argument("--turns", type=int, default=5, help="pieces in which they are counted, the ways taking turns")
    parser.add_argument("--one-core", action="store_true", help="keep everything on one core")
    parser.add_argument("--pause", type=float, default=0.01, help="seconds between two runs when timing one")
    options = parser.parse_args()
    if options.one_core:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    sandbox = Sandbox(memory_mb=256, cpu_seconds=10)
    sandboxed = Sandboxed(sandbox)
    ways: dict[str, Callable[[], None]] = {
        "in process": in_process,
        "python -I": program(FRESH),
        "python -I, bare": program(BARE),
    }
    if working_bubblewrap():
        ways["bubblewrap"] = program(FRESH, *BWRAP)
    ways |= {"cold": sandboxed.cold, "warm": sandboxed.warm}
    try:
        taken = measure(ways, options.rounds, options.pause)
        counted = {name: run for name, run in ways.items() if name != "in process"}
        rates = throughput(counted, options.threads, options.seconds, options.turns)
    finally:
        sandbox.close()
    show(taken, rates)


if __name__ == "__main__":
    main()
