"""A zygote has loaded what its children need and no more: each of them pays for all of it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tasks.sandbox import Sandbox, host, wire
from tasks.sandbox.supply import Supply
from tasks.sandbox.wire import Budget

ROOT = Path(__file__).resolve().parents[2]
LOADED = """
import json, sys
sys.path.append(sys.argv[1])
from tasks.sandbox import wire, zygote
zygote._prepare(sys.argv[2], wire.Budget(64, 1), [])
print(json.dumps(sorted(sys.modules)))
"""
#: What earlier versions had loaded without need, and what would bring much with it.
HEAVY = {"typing", "socket", "selectors", "signal", "select", "mmap", "array", "subprocess", "inspect", "logging"}
HEAVY |= {"threading", "contextlib", "dataclasses", "pathlib", "importlib"}
COMPILER = {"ast", "RestrictedPython", "tasks.sandbox.policy", "tasks.sandbox.compiler", "tasks.sandbox.checker"}


def loaded(kind: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADED, str(ROOT), kind], capture_output=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout))


def test_who_runs_code_has_no_compiler_and_nothing_heavy() -> None:
    assert loaded(wire.RUN) & (HEAVY | COMPILER) == set()


def test_who_compiles_code_does_not_run_it() -> None:
    found = loaded(wire.COMPILE)
    assert found >= COMPILER
    assert "tasks.sandbox.runner" not in found


@pytest.mark.parametrize("kind", [wire.COMPILE, wire.RUN])
def test_the_stock_is_filled_up_before_it_is_empty(kind: str) -> None:
    assert 0 < wire.IN_A_ROW[kind] < wire.READY[kind]


@pytest.mark.parametrize("kind", [wire.COMPILE, wire.RUN])
def test_more_children_than_are_in_stock_are_made_at_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # None is given back meanwhile, and nobody's patience ends: whoever waits for one of the others waits for ever.
    monkeypatch.setattr(host, "CHILD_SECONDS", 3600)
    supply = Supply(kind, Budget(64, 2), ())
    wanted = wire.READY[kind] + 4
    got: list[int] = []

    def take() -> None:
        with contextlib.ExitStack() as borrowed:
            for _ in range(wanted):
                got.append(borrowed.enter_context(supply.borrow()).pid)  # noqa: PERF401 - those got so far count

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    thread.join(60)
    supply.close()
    thread.join(30)
    assert len(set(got)) == wanted


def test_descriptors_of_a_child_are_not_inherited(plain: Sandbox) -> None:
    with plain.borrow() as child:
        assert not child.channel.get_inheritable()
        assert not os.get_inheritable(child._pidfd)
