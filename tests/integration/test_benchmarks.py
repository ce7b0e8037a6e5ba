"""`python -m benchmarks` starts the service as its users do, measures it, and leaves nothing running."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.integration.service import ROOT


def test_a_small_run_prints_a_table_and_writes_every_figure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "submit", "http", "batch", "start", "--only", "ours"]
    command += ["--rounds", "1", "--count", "5", "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    assert "POST/s" in done.stdout
    found = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert {name: len(rounds["ours"]) for name, rounds in found["measures"].items()} == {
        "submit": 1,
        "http": 1,
        "batch": 1,
        "start": 1,
    }
    assert all(
        value > 0 for rounds in found["measures"].values() for figures in rounds["ours"] for value in figures.values()
    )


def test_an_unknown_measure_is_refused_with_the_known_ones() -> None:
    command = [sys.executable, "-m", "benchmarks", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "nonsense" in done.stderr


def test_a_short_soak_samples_every_part_and_loses_no_task(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "soak", "--tasks", "150", "--every", "1", "--brief"]
    command += ["--json", str(tmp_path / "soak.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "soak.json").read_text(encoding="utf-8"))
    assert found["answers"]["201"] == 150
    assert set(found["answers"]) == {"201"}
    assert found["restarts"] == 0
    assert found["ended"]["failed"] == 7
    assert sum(found["ended"].values()) >= 150
    for part in ("api", "worker", "sandbox", "beat", "flower", "redis", "start"):
        assert all(sample[f"{part} pss"] > 0 for sample in found["samples"]), part
    assert [sample["ended"] for sample in found["samples"]] == sorted(sample["ended"] for sample in found["samples"])
    assert found["samples"][-1]["redis keys"] > 300


def test_pages_are_timed_over_records_that_the_scripts_of_the_store_made(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "listing", "--records", "1000", "1100", "--rounds", "2"]
    command += ["--json", str(tmp_path / "pages.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    assert "goal <= 1.5 x" in done.stdout
    rows = json.loads((tmp_path / "pages.json").read_text(encoding="utf-8"))
    assert [row["records"] for row in rows] == [1100]
    assert all(len(times) == 2 for row in rows for times in row["ms"].values())


def test_the_cost_of_a_task_is_told_by_part(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "cost", "--count", "40", "--json", str(tmp_path / "cost.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "cost.json").read_text(encoding="utf-8"))
    assert set(found) == {"code", "http", "batch"}
    for cost in found.values():
        assert cost["tasks/s"] > 0
        assert cost["scripts"] >= 1
        assert {"api ms", "worker ms", "sandbox ms", "redis ms", "beat ms", "flower ms", "start ms"} <= set(cost)


def test_the_curves_have_a_rate_for_each_number_of_connections(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "curves", "--only", "ours", "--count", "12", "--rounds", "1"]
    command += ["--json", str(tmp_path / "curves.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "curves.json").read_text(encoding="utf-8"))
    assert {name: len(rates) for name, rates in found["rates"]["ours"].items()} == dict.fromkeys(
        ("1", "2", "4", "8", "16", "32"), 1
    )
    assert len(found["latencies"]["ours"]) == 3
