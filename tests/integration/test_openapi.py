"""schemathesis calls every operation of a running service and holds every answer against the document."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.service import ROOT, Service

CONFIGURATION = ROOT / "tests" / "data" / "schemathesis.toml"


def schemathesis(service: Service, folder: Path, *options: str) -> str:
    """What the run said; fails where it found anything."""
    tool = Path(sys.executable).parent / "schemathesis"
    done = subprocess.run(
        [tool, "--config-file", CONFIGURATION, "run", f"{service.url}/api/openapi.json", "--checks", "all", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    return done.stdout


@pytest.mark.timeout(620)  # 8,000 requests; a machine that does much else takes minutes
def test_every_operation_keeps_to_the_document(service: Service, tmp_path: Path) -> None:
    said = schemathesis(service, tmp_path, "--max-examples", "20", "--seed", "5")
    print(said[said.index("SUMMARY") :])
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in said
    selected, total = re.search(r"Selected: (\d+)/(\d+)", said).groups()
    assert selected == total
    assert service.call("GET", "/api/health").json()["status"] == "healthy"
