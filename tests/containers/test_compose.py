"""The image and docker-compose.yml on a real engine: built, started, used as in the guide, restarted, hardened.

Skipped where no Docker engine answers. A machine whose containers reach no network builds with BUILD_NETWORK=host.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.integration.service import ROOT, free_port, wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]
GUIDE = (ROOT / "tests" / "data" / "guide.zh.md").read_text(encoding="utf-8")
PARTS = {"redis", "api", "worker", "beat", "flower"}


def works(*command: str) -> bool:
    """Whether this command is there and ends well."""
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def compose_command() -> list[str]:
    """docker-compose v1, or Docker's own plugin; skips the test where there is no engine."""
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no Docker engine answers here")
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    pytest.skip("neither docker-compose nor docker compose is here")


class Composed:
    """One deployment with a name and ports of its own."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self.ports = {name: free_port() for name in ("API", "REDIS", "FLOWER")}
        self._environment = {
            **{name: value for name, value in os.environ.items() if name not in ("REDIS_HOST", "REDIS_PORT")},
            "COMPOSE_PROJECT_NAME": f"tmstest{os.getpid()}",
            **{f"{name}_PUBLISHED_PORT": str(port) for name, port in self.ports.items()},
        }
        self.url = f"http://127.0.0.1:{self.ports['API']}"

    def __call__(self, *words: str, check: bool = True, seconds: int = 300) -> str:
        done = subprocess.run(
            [*self._command, *words],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done.stdout

    def health_of_containers(self) -> dict[str, str]:
        """What Docker's own checks say of each part."""
        found = {}
        for name in self("ps", "-q").split():
            text = subprocess.run(["docker", "inspect", name], capture_output=True, text=True, check=True).stdout
            (container,) = json.loads(text)
            found[container["Config"]["Labels"]["com.docker.compose.service"]] = container["State"]["Health"]["Status"]
        return found

    def await_health(self) -> None:
        """Return once every part is healthy."""
        wanted = dict.fromkeys(PARTS, "healthy")
        wait_for("all parts healthy", lambda: self.health_of_containers() == wanted, seconds=120)

    def submit(self, **fields: Any) -> str:
        """The id of a stored task."""
        body = {"name": "容器", "task_type": "immediate", "function_name": "f", **fields}
        answer = requests.post(f"{self.url}/api/tasks", json=body, timeout=10)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def task(self, task_id: str) -> dict[str, Any]:
        """A task as it stands."""
        return dict(requests.get(f"{self.url}/api/tasks/{task_id}", timeout=10).json())

    def finished(self, task_id: str) -> dict[str, Any]:
        """The task once it has succeeded or failed."""
        return dict(
            wait_for(
                "its end", lambda: (t := self.task(task_id))["status"] in ("succeeded", "failed") and t, seconds=60
            )
        )


@pytest.fixture(scope="module")
def composed() -> Iterator[Composed]:
    """The whole deployment, up."""
    deployment = Composed(compose_command())
    try:
        deployment("build", seconds=600)
        deployment("up", "-d")
        deployment.await_health()
        yield deployment
    finally:
        deployment("down", "-v", check=False)


def test_every_curl_of_the_guide_works_against_it(composed: Composed) -> None:
    curls = [block.strip() for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL) if block.startswith("curl")]
    task_id = composed.submit(function_code="def f():\n    return 1", task_type="delayed", delay_seconds=600)
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
    done = composed.submit(function_code="def f():\n    return '完成'")
    assert composed.finished(done)["result"] == "完成"
    waiting = composed.submit(function_code="def f():\n    return 1", task_type="delayed", delay_seconds=3600)
    composed("restart")
    composed.await_health()
    assert composed.task(done)["result"] == "完成"
    assert composed.task(waiting)["status"] == "scheduled"
    assert composed.finished(composed.submit(function_code="def f():\n    return 2"))["result"] == 2


def test_down_and_up_again_keeps_the_data(composed: Composed) -> None:
    waiting = composed.submit(function_code="def f():\n    return 1", task_type="delayed", delay_seconds=3600)
    composed("down")
    composed("up", "-d")
    composed.await_health()
    assert composed.task(waiting)["status"] == "scheduled"
