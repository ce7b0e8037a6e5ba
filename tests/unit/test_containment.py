"""start.py's one line about the sandbox."""

from __future__ import annotations

from typing import Any

import pytest

from supervision.containment import line

LAYERS = {
    "seccomp": True,
    "rlimits": True,
    "no_new_privs": True,
    "landlock": 7,
    "uid_drop": True,
    "pdeathsig": True,
}


def _health(*sandboxes: dict[str, Any]) -> dict[str, Any]:
    return {"workers": [{"sandbox": each} for each in sandboxes]}


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ({}, "seccomp, rlimits, no_new_privs, Landlock ABI 7, own user, death with the parent"),
        ({"landlock": False}, "seccomp, rlimits, no_new_privs, own user, death with the parent; without Landlock"),
        ({"uid_drop": None}, "seccomp, rlimits, no_new_privs, Landlock ABI 7, death with the parent"),
    ],
)
def test_the_layers_in_force_are_named(layers: dict[str, Any], said: str) -> None:
    sandbox = {"available": True, "reason": None, "layers": {**LAYERS, **layers}}
    assert line(_health(sandbox, sandbox)) == f"sandbox   holds   {said}"


def test_one_worker_that_cannot_contain_code_is_enough_to_say_so() -> None:
    good = {"available": True, "reason": None, "layers": LAYERS}
    bad = {"available": False, "reason": "Code cannot be contained here: why.", "layers": {}}
    said = line(_health(good, bad))
    assert said.startswith("sandbox   NOT there: code tasks are refused, HTTP tasks go on.")
    assert said.endswith("Code cannot be contained here: why.")


def test_without_an_answer_nothing_is_claimed() -> None:
    assert line({}).startswith("sandbox   unknown")
