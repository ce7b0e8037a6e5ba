"""The service on three machines: Redis and the API on one, a worker and a beat on each of the others.

The test itself is on the first machine, so that all that it connects to is loopback.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.faults.network import NETWORK, Machine, Network
from tests.faults.processes import Processes

PASSWORD = "of-redis-on-a"
#: Who is where.
PLACES = {"redis": "a", "api": "a", "worker": "b", "beat": "b", "worker2": "c", "beat2": "c"}


class Machines(Processes):
    """Hosts a, b and c. Of b and c nothing is known but where Redis is; they share no folder."""

    SINK = "0.0.0.0"

    def __init__(self, folder: Path) -> None:
        self.network = Network()
        self._stack = contextlib.ExitStack()
        self._stack.callback(self.network.close)
        try:
            self.hosts = {name: self.network.machine(name) for name in "abc"}
            self._stack.enter_context(self.hosts["a"].entered())
            super().__init__(folder)
            self._settle_in()
        except BaseException:
            self._stack.close()
            raise

    def _settle_in(self) -> None:
        here = self.hosts["a"].address
        self.redis_url = f"redis://:{PASSWORD}@{here}:{self.redis_port}/0"
        self.sink = self.sink.replace("127.0.0.1", here)
        for name in ("REDIS_HOST", "REDIS_PORT"):
            del self.environment[name]
        redis = (*self.commands["redis"], "--bind", here, "127.0.0.1", "--requirepass", PASSWORD)
        commands = {**self.commands, "redis": redis}
        self.commands = {name: (*self._on(self.hosts[PLACES[name]]), *words) for name, words in commands.items()}

    def _on(self, host: Machine) -> tuple[str, ...]:
        folder = self.folder / host.name
        return host.prefix(
            REDIS_URL=self.redis_url,
            HTTP_ALLOWED_NETWORKS=NETWORK,
            DATA_DIR=str(folder / "var"),
            LOG_DIR=str(folder / "logs"),
        )

    def close(self) -> None:
        """Heal everything, end everything, and remove the machines."""
        with self._stack:
            for host in self.hosts.values():
                host.heal()
            for name in ("worker", "worker2", "beat", "api"):
                if name in self.processes:
                    self.processes[name].terminate()
            super().close()
