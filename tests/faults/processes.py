"""The service as processes: Redis, an API, two workers and two beats, each of which is started again when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.faults.stage import Stage
from tests.integration.service import ROOT, Service, free_port, wait_for

WORKERS = ("worker", "worker2")
BEATS = ("beat", "beat2")


class Processes(Service, Stage):
    """Real processes, and the sink beside them."""

    #: Where the sink listens.
    SINK = "127.0.0.1"

    def __init__(self, folder: Path) -> None:
        # What is acknowledged must be on disk, or a killed Redis may take it along and be right to.
        super().__init__(folder, RUN_HISTORY="10000", GRACE_SECONDS="3", LOG_LEVEL="WARNING")
        always = ("always" if word == "everysec" else word for word in self.commands["redis"])
        self.commands = {**self.commands, "redis": tuple(always), "beat2": self.commands["beat"]}
        self.redis_url = f"redis://127.0.0.1:{self.redis_port}/0"
        port = free_port()
        self.sink = f"http://127.0.0.1:{port}"
        self.counts = f"{self.sink}/counts"
        self._sink = subprocess.Popen([sys.executable, "-m", "tests.faults.sink", str(port), self.SINK], cwd=ROOT)

    def open(self) -> None:
        """Start everything."""
        self.start("redis", "api", *WORKERS, "beat")
        self.revive("beat2")
        wait_for("the sink", self.effects_known)

    def slay(self, name: str, sign: signal.Signals = signal.SIGKILL) -> None:
        """End a process, with its children where it is the API, and start it again."""
        process = self.processes[name]
        if name == "api":
            os.killpg(process.pid, sign)
        else:
            process.send_signal(sign)
        process.wait(60)
        self.revive(name)

    def keep_alive(self) -> list[str]:
        """Start again what ended by itself; its names."""
        dead = [name for name, process in self.processes.items() if process.poll() is not None]
        for name in dead:
            self.revive(name)
        return dead

    def close(self) -> None:
        """End everything."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
        beat2 = self.processes.pop("beat2", None)
        if beat2 is not None and beat2.poll() is None:
            beat2.terminate()
            beat2.wait(20)
        self.stop()
        self._sink.kill()
        self._sink.wait(10)
