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
    #: Whether each round starts its contender anew.
    fresh: bool = False


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


#: Tasks in one POST.
BATCH = 1000


def _batch(contender: Contender, count: int) -> Figures:
    """Ours takes many tasks in one POST, one POST after the other; the peers take one in each, over 8 connections."""
    if contender.name != "ours":
        return {"tasks/s": _submit(contender, count)["POST/s"]}
    size = min(count, BATCH)
    body = b'{"tasks": [' + b", ".join([contender.body()] * size) + b"]}"
    loaded = load.submit(contender.port, load.post("/api/tasks/batch", body), count=count // size, connections=1)
    load.one_by_one(contender.port, load.post("/api/tasks", contender.body()), count=1)  # what waits runs out first
    return {"tasks/s": count // size * size / loaded.seconds}


def _memory(contender: Contender, count: int) -> Figures:
    with redis.Redis(port=contender.redis_port) as client:
        before = client.info("memory")["used_memory"]
        loaded = load.to_the_end(contender.port, load.post("/api/tasks", contender.body()), count=count)
        after = client.info("memory")["used_memory"]
        held = (after - before) / count
        return {"bytes a task": held, "less payload": held - contender.payload(client, loaded.ids[-1])}


def _start_up(contender: Contender, _: int) -> Figures:
    """Until the first task has been done: a peer's workers say nothing that could be waited for."""
    return {"start s": contender.start_up, "idle MiB": contender.memory}


ALL = ("ours", "diy", "huey", "dramatiq", "rq")
MEASURES = {
    "submit": Measure(
        title="POST /api/tasks, 8 connections, workers running",
        more_is_better=True, round=_submit, count=2000, contenders=ALL, goals={"diy": 2.5, "huey": 1.2},
    ),
    "batch": Measure(
        title="tasks/s, ours 1,000 in one POST, peers one in each POST over 8 connections",
        more_is_better=True, round=_batch, count=2000, contenders=("ours", "diy", "huey"), goals={"huey": 10.0},
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
        title="POST to end seen, 1 connection, asked every ms",
        more_is_better=False, round=_latency, count=300, contenders=ALL, goals={"diy": 0.7},
    ),
    "memory": Measure(
        title="Redis memory of a finished task; its payload is its code and its result as JSON",
        more_is_better=False, round=_memory, count=2000, contenders=("ours", "diy", "huey"), goals={},
    ),
    "start": Measure(
        title="from the command to the first task done, and memory (PSS) of all processes then",
        more_is_better=False, round=_start_up, count=1, contenders=ALL, goals={}, fresh=True,
    ),
}  # fmt: skip
