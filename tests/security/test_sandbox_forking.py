"""A child is forked without CPython's own ceremonies: nothing that they are there for may be missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.sandbox import Sandbox
from tests.security.attempts import EXTRA_MODULES, attempt

ROOT = Path(__file__).resolve().parents[2]
HOOKS = """
import json, os, sys
sys.path.append(sys.argv[1])
found = []
os.register_at_fork = lambda **hooks: found.extend(
    [when, hook.__module__, hook.__qualname__] for when, hook in hooks.items()
)
from tasks.sandbox import wire, zygote
zygote._prepare(wire.RUN, wire.Budget(64, 1), sys.argv[2:])
print(json.dumps([found, len(os.listdir("/proc/self/task"))]))
"""
#: Left out: in a child it makes a list of threads anew that has only the one in it anyway.
NEEDLESS = ["after_in_child", "threading", "_after_fork"]


def test_a_zygote_has_one_thread_and_no_module_but_random_wants_to_be_told_of_a_fork() -> None:
    # For the seed that random's hook would set, see `facades`.
    command = [sys.executable, "-I", "-c", HOOKS, str(ROOT), *EXTRA_MODULES]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    hooks, threads = json.loads(done.stdout)
    assert [hook for hook in hooks if hook != NEEDLESS] == [["after_in_child", "random", "Random.seed"]]
    assert threads == 1


@pytest.mark.parametrize(
    "source",
    [
        "import random\ndef f(): return [random.random(), random.getrandbits(64), random.gauss(0, 1)]",
        "from random import uniform as u\ndef f(): return [u(0, 1)]",
        "def f():\n    import random as r\n    return [r.sample(range(10**9), 3), r.SystemRandom().random()]",
        "import statistics\ndef f(): return statistics.NormalDist().samples(2)",
        "import uuid\ndef f(): return [str(uuid.uuid4())]",
        "import math, random\ndef f(): return [random.Random().random(), random.betavariate(1, 2)]",
    ],
)
def test_no_two_runs_draw_the_same(everything: Sandbox, source: str) -> None:
    drawn = [attempt(everything, source).value for _ in range(15)]
    for column in zip(*drawn, strict=True):
        assert len({str(each) for each in column}) == len(drawn)


def test_nothing_that_a_run_does_to_what_was_loaded_before_is_seen_by_another(everything: Sandbox) -> None:
    source = """
        import collections, datetime, decimal, functools, json, random, re, typing

        @functools.lru_cache
        def cached(n): return n

        def f(n):
            seen = [
                cached.cache_info().currsize,
                hasattr(json.JSONEncoder, "mark"),
                getattr(json.JSONEncoder, "mark", None),
                decimal.getcontext().prec,
                "marked" in str(json.JSONEncoder().default),
                re.compile("a+" * 40 + str(n)).pattern[-3:],
            ]
            cached(n)
            for target in (json.JSONEncoder, json.JSONDecoder, random.Random, collections.Counter, datetime.datetime):
                try:
                    target.mark = n
                except (AttributeError, TypeError):
                    continue
            decimal.getcontext().prec = 5
            random.seed(1)
            return seen
    """
    seen = [attempt(everything, source, number).value for number in range(6)]
    assert [each[:5] for each in seen] == [[0, False, None, 28, False]] * 6
