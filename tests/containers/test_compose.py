"""The image and docker-compose.yml on a real engine: built, started, used as in the guide, restarted, hardened.

Skipped where no Docker engine answers. A machine whose containers reach no network builds with BUILD_NETWORK=host.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest
import requests

from tests.containers.composed import SPELLINGS, Composed, why_not
from tests.integration.service import ROOT

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]
GUIDE = (ROOT / "tests" / "data" / "guide.zh.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module", params=SPELLINGS, ids=" ".join)
def composed(request: pytest.FixtureRequest) -> Iterator[Composed]:
    """The whole deployment, up."""
    if why := why_not(request.param):
        pytest.skip(why)
    deployment = Composed(request.param)
    try:
        deployment("build", seconds=600)
        deployment("up", "-d")
        deployment.await_health()
        yield deployment
    finally:
        deployment("down", "-v", check=False)


def test_every_curl_of_the_guide_works_against_it(composed: Composed) -> None:
    curls = [block.strip() for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL) if block.startswith("curl")]
    task_id = composed.code("def f():\n    return 1", task_type="delayed", delay_seconds=600)["id"]
    assert len(curls) == 8
    for curl in curls:
        command = curl.replace("http://localhost:5000", composed.url).replace("{task_id}", task_id)
        done = subprocess.run(
            ["bash", "-c", f"{command} -sS -o /dev/null -w '%{{http_code}}'"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert done.stdout in ("200", "201", "204"), (command, done.stdout)


def test_the_sandbox_holds_without_privileges_under_the_default_seccomp_profile(composed: Composed) -> None:
    table = composed("exec", "-T", "worker", "python", "-m", "tasks.sandbox", "--self-test")
    assert "honest code" in table
    for line in table.splitlines()[1:]:
        # Landlock depends on the kernel of the host, all else on us.
        assert re.search(r"\s{2}yes\s{2}", line) or line.startswith("Landlock"), table
    status = composed("exec", "-T", "worker", "cat", "/proc/self/status")
    assert re.search(r"^Uid:\s+10001\s", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    assert composed("exec", "-T", "worker", "sh", "-c", "touch /app/x 2>&1 || true").endswith("Read-only file system\n")


def test_ports_are_published_on_loopback_only(composed: Composed) -> None:
    for service, port in (("api", "5000"), ("flower", "5555"), ("redis", "6379")):
        assert composed("port", service, port).startswith("127.0.0.1:")
    assert requests.get(f"http://127.0.0.1:{composed.ports['FLOWER']}/workers", timeout=10).status_code == 401


def test_a_restart_keeps_every_task_and_goes_on(composed: Composed) -> None:
    done = composed.code("def f():\n    return '完成'")["id"]
    assert composed.finished(done)["result"] == "完成"
    waiting = composed.code("def f():\n    return 1", task_type="delayed", delay_seconds=3600)["id"]
    composed("restart")
    composed.await_health()
    assert composed.task(done)["result"] == "完成"
    assert composed.task(waiting)["status"] == "scheduled"
    assert composed.finished(composed.code("def f():\n    return 2")["id"])["result"] == 2


def test_down_and_up_again_keeps_the_data(composed: Composed) -> None:
    waiting = composed.code("def f():\n    return 1", task_type="delayed", delay_seconds=3600)["id"]
    composed("down")
    composed("up", "-d")
    composed.await_health()
    assert composed.task(waiting)["status"] == "scheduled"
