"""What is measured: each is a name, a unit, whether more is better, and what one round of one contender is."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass

import redis

from benchmarks import load
from benchmarks.contenders import ROOT, Contender
from benchmarks.processes import Processes, free_port, wait_for_port

Figures = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One round gives figures by name; the first of them is the one that ratios are made of."""

    title: str
    more_is_better: bool
    round: Callable[[Contender, int], Figures]
    count: int
    contenders: tuple[str, ...]
    #: What is to be reached, as a ratio to a peer, by the peer's name.
    goals: dict[str, float]


def _percentiles(times: list[float]) -> Figures:
    ordered = sorted(times)
    return {"p50 ms": statistics.median(ordered) * 1000, "p99 ms": ordered[int(len(ordered) * 0.99)] * 1000}


def _submit(contender: Contender, count: int) -> Figures:
    loaded = load.submit(contender.port, load.post("/api/tasks", contender.body()), count=count)
    load.one_by_one(contender.port, load.post("/api/tasks", contender.body()), count=1)  # what waits runs out first
    return {"POST/s": count / loaded.seconds, **_percentiles(loaded.latencies)}


def _code(contender: Contender, count: int) -> Figures:
    loaded = load.to_the_end(contender.port, load.post("/api/tasks", contender.body()), count=count)
    return {"tasks/s": count / loaded.seconds}


def _http(contender: Contender, count: int) -> Figures:
    if contender.name != "ours":
        return _code(contender, count)
    port = free_port()
    sink = Processes(contender.folder, {})
    sink.start(sys.executable, "-m", "benchmarks.sink", str(port), folder=ROOT)
    try:
        wait_for_port(port)
        request = load.post("/api/tasks", contender.body(api_url=f"http://127.0.0.1:{port}/"))
        return {"tasks/s": count / load.to_the_end(contender.port, request, count=count).seconds}
    finally:
        sink.end()


def _latency(contender: Contender, count: int) -> Figures:
    loaded = load.one_by_one(contender.port, load.post("/api/tasks", contender.body()), count=count)
    return _percentiles(loaded.latencies)


def _memory(contender: Contender, count: int) -> Figures:
    client = redis.Redis(port=contender.redis_port)
    before = client.info("memory")["used_memory"]
    load.to_the_end(contender.port, load.post("/api/tasks", contender.body()), count=count)
    after = client.info("memory")["used_memory"]
    client.close()
    return {"bytes a task": (after - before) / count}


def _start_up(contender: Contender, _: int) -> Figures:
    return {"start s": contender.start_up, "idle MiB": contender.memory}


ALL = ("ours", "diy", "huey", "dramatiq")
MEASURES = {
    "submit": Measure(
        title="POST /api/tasks, 8 connections, workers running",
        more_is_better=True, round=_submit, count=2000, contenders=ALL, goals={"diy": 2.5, "huey": 1.2},
    ),
    "code": Measure(
        title="end to end, ours sandboxed, peers not",
        more_is_better=True, round=_code, count=5000, contenders=ALL, goals={"diy": 1.0},
    ),
    "http": Measure(
        title="end to end, ours an HTTP call to a local sink",
        more_is_better=True, round=_http, count=5000, contenders=ALL, goals={"diy": 2.0},
    ),
    "latency": Measure(
        title="POST to end seen, 1 connection, asked every 5 ms",
        more_is_better=False, round=_latency, count=300, contenders=(*ALL, "rq"), goals={"diy": 0.7},
    ),
    "memory": Measure(
        title="Redis memory of a finished task, with its code",
        more_is_better=False, round=_memory, count=1000, contenders=("ours", "diy", "huey"), goals={},
    ),
    "start": Measure(
        title="from the command to ready, and memory of all processes then (peers wait a fixed 2 s for their workers)",
        more_is_better=False, round=_start_up, count=1, contenders=ALL, goals={},
    ),
}  # fmt: skip
