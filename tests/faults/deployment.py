"""The service as containers: docker-compose.yml with two workers and two beats, and the sink beside it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import requests

from tests.containers.composed import Composed, docker, spelling
from tests.faults.stage import Stage
from tests.integration.service import ROOT, free_port, wait_for

SINK = (ROOT / "tests" / "faults" / "sink.py").read_text(encoding="utf-8")
#: How many there are of what there is more than one of.
SCALE = {"worker": 2, "beat": 2}


class Deployment(Composed, Stage):
    """A real deployment; the sink is a container of its own in its network, and no part of it."""

    def __init__(self, folder: Path) -> None:
        # What is acknowledged must be on disk, or a killed Redis may take it along and be right to.
        super().__init__(spelling(), REDIS_APPENDFSYNC="always", RUN_HISTORY="10000")
        self.folder = folder
        self.redis_url = f"redis://127.0.0.1:{self.ports['REDIS']}/0"
        self.sink = "http://sink:8000"
        self._sink_port = free_port()
        self.counts = f"http://127.0.0.1:{self._sink_port}/counts"

    def open(self) -> None:
        """Build the image, and start everything."""
        self("build", seconds=600)
        self("up", "--no-start", "redis")
        network = docker("network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", self.network)
        self.variables["HTTP_ALLOWED_NETWORKS"] = network
        docker("run", "--detach", "--no-healthcheck", "--name", self._sink,
               "--network", self.network, "--network-alias", "sink", "--publish", f"127.0.0.1:{self._sink_port}:8000",
               "task-management-system", "python", "-c", SINK, "8000", "0.0.0.0")  # fmt: skip
        scale = [word for name, number in SCALE.items() for word in ("--scale", f"{name}={number}")]
        self("up", "--detach", *scale)
        wait_for("the sink", self.effects_known)
        wait_for("every worker and a beat", self._ready, seconds=180)

    def _ready(self) -> bool:
        # Docker's own checks would do, but for a machine so busy that they take longer than they may.
        try:
            health = requests.get(f"{self.url}/api/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        return len(health.get("workers", ())) == SCALE["worker"] and bool(health["beat"]["alive"])

    @property
    def network(self) -> str:
        """The network that the containers share."""
        return f"{self.project}_default"

    @property
    def _sink(self) -> str:
        return f"{self.project}-sink"

    def containers(self, service: str) -> list[str]:
        """The names of a service's containers, always in the same order."""
        return [str(container["Name"]).lstrip("/") for container in self.inspect(service)]

    def do(self, *words: str) -> str:
        """One `docker` command. That it fails is part of the mischief: another may have just stopped the container."""
        return docker(*words, check=False, seconds=120)

    def revive(self, name: str) -> None:
        """Start a container that was killed: the engine takes a kill for an order to stay down."""
        self.do("start", name)

    def keep_alive(self) -> list[str]:
        """Start again what is down and is not started by the engine itself; the services of these."""
        down = [container for container in self.inspect() if _is_down(container)]
        for container in down:
            self.revive(container["Name"].lstrip("/"))
        return [str(container["Config"]["Labels"]["com.docker.compose.service"]) for container in down]

    def close(self) -> None:
        """Keep the log, then remove everything, the data too."""
        (self.folder / "deployment.log").write_text(self("logs", "--no-color", check=False), encoding="utf-8")
        for container in self.inspect():
            with contextlib.suppress(AssertionError):
                docker("unpause", container["Name"].lstrip("/"))
        docker("rm", "--force", self._sink, check=False)
        self("down", "--volumes", "--timeout", "10", check=False)


def _is_down(container: dict[str, Any]) -> bool:
    state = container["State"]
    return state["Status"] in ("exited", "dead", "created") and not state["Restarting"]
