"""Faults of processes: each breaks one thing, and puts it right again before it returns."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
from collections.abc import Callable
from typing import Any

import psutil

from tests.faults.processes import BEATS, WORKERS, Processes
from tests.faults.stage import Stage, pause

Fault = Callable[[Any, random.Random], None]


def lose_the_bells(stage: Stage, _: random.Random) -> None:
    for name in ("runs", "runs\x06\x166"):
        stage.redis("DEL", f"{{tms}}:bell:{name}")


def ring_ten_times(stage: Stage, dice: random.Random) -> None:
    """Ten bells at once for runs that wait, run or have ended."""
    newest = stage.redis("ZREVRANGE", "{tms}:tasks:owner:anonymous", "0", "40").translate(_PLAIN).split()
    stage.ring([f"{task_id}.1" for task_id in dice.sample(newest, min(3, len(newest))) for _ in range(10)])


def kill_a_worker(stage: Processes, dice: random.Random) -> None:
    stage.slay(dice.choice(WORKERS))


def end_the_workers_in_turn(stage: Processes, _: random.Random) -> None:
    for name in WORKERS:
        stage.slay(name, signal.SIGTERM)
        pause(2)


def freeze_a_worker(stage: Processes, dice: random.Random) -> None:
    _freeze(stage, dice.choice(WORKERS), dice.uniform(1, 6))


def freeze_a_worker_past_its_lease(stage: Processes, dice: random.Random) -> None:
    """In the background: the others go on meanwhile, and other faults come."""
    name = dice.choice(WORKERS)
    threading.Thread(target=_freeze, args=(stage, name, 40), daemon=True).start()


def kill_the_sandbox(stage: Processes, dice: random.Random) -> None:
    with contextlib.suppress(psutil.Error):
        children = psutil.Process(stage.processes[dice.choice(WORKERS)].pid).children(recursive=True)
        if children:
            dice.choice(children).kill()


def kill_redis(stage: Processes, dice: random.Random) -> None:
    stage.processes["redis"].kill()
    stage.processes["redis"].wait(20)
    pause(dice.choice((0, 0, 1, 3)))
    stage.revive("redis")


def freeze_redis(stage: Processes, dice: random.Random) -> None:
    _freeze(stage, "redis", dice.choice((1, 3, 6, 15)))


def fill_redis(stage: Stage, dice: random.Random) -> None:
    stage.redis("CONFIG", "SET", "maxmemory", "1mb")
    pause(dice.uniform(1, 4))
    stage.redis("CONFIG", "SET", "maxmemory", "0")


def make_redis_read_only(stage: Stage, dice: random.Random) -> None:
    stage.redis("REPLICAOF", "127.0.0.1", "1")
    pause(dice.uniform(1, 3))
    stage.redis("REPLICAOF", "NO", "ONE")


def cut_connections_ten_times(stage: Stage, _: random.Random) -> None:
    for _ in range(10):
        stage.redis("CLIENT", "KILL", "TYPE", "normal")
        pause(0.1)


def kill_a_beat(stage: Processes, dice: random.Random) -> None:
    stage.slay(dice.choice(BEATS))


def kill_both_beats(stage: Processes, _: random.Random) -> None:
    for name in BEATS:
        stage.slay(name)


def freeze_a_beat(stage: Processes, dice: random.Random) -> None:
    _freeze(stage, dice.choice(BEATS), dice.uniform(1, 8))


def kill_the_api(stage: Processes, _: random.Random) -> None:
    stage.slay("api")


#: Each fault with how often it comes, relative to the others.
FAULTS: dict[Fault, int] = {
    lose_the_bells: 2,
    ring_ten_times: 2,
    kill_a_worker: 4,
    end_the_workers_in_turn: 1,
    freeze_a_worker: 2,
    freeze_a_worker_past_its_lease: 1,
    kill_the_sandbox: 3,
    kill_redis: 3,
    freeze_redis: 2,
    fill_redis: 2,
    make_redis_read_only: 1,
    cut_connections_ten_times: 2,
    kill_a_beat: 3,
    kill_both_beats: 1,
    freeze_a_beat: 1,
    kill_the_api: 2,
}


def _freeze(stage: Processes, name: str, seconds: float) -> None:
    process = stage.processes[name]
    if process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        pause(seconds)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)


#: Takes the brackets, quotes and commas of a printed list away.
_PLAIN = str.maketrans("[]',", "    ")
