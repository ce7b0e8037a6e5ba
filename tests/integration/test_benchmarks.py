"""`python -m benchmarks` starts the service as its users do, measures it, and leaves nothing running."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.integration.service import ROOT


def test_a_small_run_prints_a_table_and_writes_every_figure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "submit", "http", "--only", "ours"]
    command += ["--rounds", "2", "--count", "5", "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    assert "POST/s" in done.stdout
    found = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert {name: len(rounds["ours"]) for name, rounds in found["measures"].items()} == {
        "submit": 2,
        "http": 2,
    }
    assert all(
        value > 0 for rounds in found["measures"].values() for figures in rounds["ours"] for value in figures.values()
    )


def test_an_unknown_measure_is_refused_with_the_known_ones() -> None:
    command = [sys.executable, "-m", "benchmarks", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "nonsense" in done.stderr
