"""What a sandboxed run costs, next to the ways it could be done, taken alternately in one run.

    python benchmarks/sandbox.py [--rounds 200] [--threads 2]

in process   exec() of the source in this process: no containment, the floor
python -I    a fresh interpreter that imports RestrictedPython, compiles, runs and ends, once for each run
bubblewrap   the same inside `bwrap`, where that is installed and works
cold         the sandbox, with a source it has never seen: compiled in the child
warm         the sandbox, with a source whose code it has kept
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
LIMITS = Limits(timeout=30, max_result_bytes=1_000)
BWRAP = ["bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all", "--die-with-parent"]


def in_process() -> None:
    space: dict[str, object] = {}
    exec(compile(SOURCE, "<task>", "exec"), space)  # noqa: S102 - the floor to measure against
    assert space["hello"]() == "Hello World!"  # type: ignore[operator]


def program(*prefix: str) -> Callable[[], None]:
    command = [*prefix, sys.executable, "-I", "-c", FRESH]

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
            if number % 10 and name in ("python -I", "bubblewrap"):
                continue  # a tenth of the rounds says enough about the slow ones
            time.sleep(pause)
            started = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - started)
    return taken


def throughput(run: Callable[[], None], threads: int, seconds: float) -> float:
    """Runs a second, `threads` at once."""
    end = time.monotonic() + seconds

    def work(_: int) -> int:
        count = 0
        while time.monotonic() < end:
            run()
            count += 1
        return count

    started = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        total = sum(pool.map(work, range(threads)))
    return total / (time.monotonic() - started)


def working_bubblewrap() -> bool:
    if shutil.which("bwrap") is None:
        return False
    return subprocess.run([*BWRAP, "true"], capture_output=True, check=False).returncode == 0


def show(taken: dict[str, list[float]], rates: dict[str, float]) -> None:
    base, base_rate = statistics.median(taken["python -I"]), rates["python -I"]
    print(f"{'way':<12}{'runs':>6}{'p50 ms':>9}{'p99 ms':>9}{'of python -I':>15}{'runs/s':>9}{'x python -I':>13}")
    for name, times in taken.items():
        middle, tail = statistics.median(times), sorted(times)[int(len(times) * 0.99)]
        rate = f"{rates[name]:9.0f}{rates[name] / base_rate:13.1f}" if name in rates else ""
        share = f"1/{base / middle:.1f}"
        print(f"{name:<12}{len(times):>6}{middle * 1000:9.2f}{tail * 1000:9.2f}{share:>15}{rate}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2, help="runs at once when counting runs/s")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long runs/s are counted, for each way")
    parser.add_argument("--pause", type=float, default=0.01, help="seconds between two runs when timing one")
    options = parser.parse_args()
    sandbox = Sandbox(memory_mb=256, cpu_seconds=10)
    sandboxed = Sandboxed(sandbox)
    ways: dict[str, Callable[[], None]] = {"in process": in_process, "python -I": program()}
    if working_bubblewrap():
        ways["bubblewrap"] = program(*BWRAP)
    ways |= {"cold": sandboxed.cold, "warm": sandboxed.warm}
    try:
        taken = measure(ways, options.rounds, options.pause)
        rates = {
            name: throughput(ways[name], options.threads, options.seconds) for name in ways if name != "in process"
        }
    finally:
        sandbox.close()
    show(taken, rates)


if __name__ == "__main__":
    main()
