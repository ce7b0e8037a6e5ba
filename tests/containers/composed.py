"""A deployment of docker-compose.yml on this machine's Docker engine, with a name and ports of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from tests.integration.service import ROOT, Client, free_port, wait_for

PARTS = ("redis", "api", "worker", "beat", "flower")
#: How Docker Compose is called: the standalone program, and Docker's own plugin.
SPELLINGS = (("docker-compose",), ("docker", "compose"))


def why_not(spelling: Sequence[str]) -> str:
    """Why this spelling cannot be used here; empty where it can."""
    if not _works("docker", "info"):
        return "no Docker engine answers here"
    return "" if _works(*spelling, "version") else f"{' '.join(spelling)} is not here"


def spelling() -> tuple[str, ...]:
    """The first spelling that can be used here. Raises LookupError."""
    whys = [why_not(each) for each in SPELLINGS]
    if all(whys):
        raise LookupError("; ".join(dict.fromkeys(whys)))
    return SPELLINGS[whys.index("")]


def _works(*command: str) -> bool:
    return bool(shutil.which(command[0])) and not subprocess.run(command, capture_output=True, check=False).returncode


def docker(*words: str, check: bool = True, seconds: int = 60) -> str:
    """What `docker` prints."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0 or not check, f"docker {words[0]}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


class Composed(Client):
    """All services of docker-compose.yml, and those of them that are asked for more than once."""

    def __init__(self, command: Sequence[str], **variables: str) -> None:
        self._command = command
        self.ports = {name: free_port() for name in ("API", "REDIS", "FLOWER")}
        self.project = f"tmstest{os.getpid()}"
        self.variables = {
            **{name: value for name, value in os.environ.items() if name not in ("REDIS_HOST", "REDIS_PORT")},
            "COMPOSE_PROJECT_NAME": self.project,
            **{f"{name}_PUBLISHED_PORT": str(port) for name, port in self.ports.items()},
            **variables,
        }
        super().__init__(f"http://127.0.0.1:{self.ports['API']}")

    def __call__(self, *words: str, check: bool = True, seconds: int = 300) -> str:
        done = subprocess.run(
            [*self._command, *words],
            cwd=ROOT,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done.stdout

    def inspect(self, service: str = "") -> list[dict[str, Any]]:
        """What Docker knows of the containers, running or not, of one service or of all."""
        labels = [f"label=com.docker.compose.project={self.project}"]
        labels += [f"label=com.docker.compose.service={service}"] if service else []
        ids = docker("ps", "-aq", *(word for label in labels for word in ("--filter", label))).split()
        found: list[dict[str, Any]] = json.loads(docker("inspect", *ids)) if ids else []
        return sorted(found, key=lambda container: str(container["Name"]))

    def await_health(self, seconds: float = 120) -> None:
        """Return once every container is healthy by Docker's own checks."""
        wait_for("all parts healthy", self._healthy, seconds=seconds)

    def _healthy(self) -> bool:
        states = {container["Name"]: container["State"] for container in self.inspect()}
        healthy = [state.get("Health", {}).get("Status") == "healthy" for state in states.values()]
        return len(states) >= len(PARTS) and all(healthy)
