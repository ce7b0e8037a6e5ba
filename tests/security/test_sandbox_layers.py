"""On a machine without a part of the kernel: code is refused with the reason where the part is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEPRIVED = (sys.executable, str(Path(__file__).with_name("deprived.py")))
TRY = """
import json
from tasks.model import Limits
from tasks.report import Report
from tasks.sandbox import Sandbox
sandbox = Sandbox(memory_mb=64, cpu_seconds=1)
layers, problems = sandbox.layers(), sandbox.check("def f(): return 1", "f")
outcome = sandbox.run(
    source="def f(): return 1", function_name="f", args=[], kwargs={},
    limits=Limits(timeout=5, max_result_bytes=100), report=Report(100),
)
sandbox.close()
code = getattr(outcome, "code", "done")
print(json.dumps({"layers": layers, "refused": [each.code for each in problems], "code": code,
                  "message": getattr(outcome, "message", ""), "value": outcome.value}))
"""


def without(parts: str, *command: str) -> subprocess.CompletedProcess[str]:
    """`command`, where the kernel has not those `parts`."""
    return subprocess.run(
        [*DEPRIVED, parts, "--", *command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def tried(parts: str) -> dict[str, Any]:
    done = without(parts, sys.executable, "-c", TRY)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ("seccomp", "the kernel refuses a seccomp filter (Invalid argument)"),
        ("no_new_privs", "the kernel refuses no_new_privs (Invalid argument)"),
        ("rlimits", "the kernel refuses a resource limit"),
        ("seccomp,landlock", "the kernel refuses a seccomp filter (Invalid argument)"),
    ],
)
def test_without_a_needed_layer_code_is_refused_with_the_reason(part: str, why: str) -> None:
    found = tried(part)
    assert found["layers"]["available"] is False
    assert found["layers"]["layers"] == {}
    assert why in found["layers"]["reason"]
    assert found["refused"] == ["sandbox_unavailable"]
    assert found["code"] == "sandbox_unavailable"
    assert found["value"] is None
    assert why in found["message"]


def test_without_landlock_code_runs_and_the_layers_say_so() -> None:
    found = tried("landlock")
    assert found["layers"]["available"] is True
    assert found["layers"]["layers"]["landlock"] is False
    assert found["layers"]["layers"]["seccomp"] is True
    assert found["value"] == 1


def test_the_self_test_says_what_is_missing() -> None:
    self_test = (sys.executable, "-m", "tasks.sandbox", "--self-test")
    done = without("seccomp", *self_test)
    assert done.returncode == 1
    assert done.stdout == "Code cannot be contained here: the kernel refuses a seccomp filter (Invalid argument).\n"
    assert done.stderr == ""
    done = without("landlock", *self_test)
    assert done.returncode == 0, done.stdout
    assert "Landlock              no        not in this kernel" in done.stdout
