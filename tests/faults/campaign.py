"""A campaign of faults against a real service under load: `python -m tests.faults.campaign --minutes 20 --seed 1`.

The seed decides which faults come in which order and what is submitted. The report goes to --report; the exit code is 1
where a promise was broken.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import requests

from tests.faults import schedules
from tests.faults.container_mischief import CONTAINER_FAULTS
from tests.faults.deployment import Deployment
from tests.faults.load import QUICK, Load
from tests.faults.machines import Machines
from tests.faults.mischief import FAULTS, Fault
from tests.faults.network_mischief import NETWORK_FAULTS
from tests.faults.processes import Processes
from tests.faults.stage import Stage
from tests.faults.verdict import Verdict

#: Each form of the service with what may be done to it.
STAGES: dict[str, tuple[Callable[[Path], Stage], Mapping[Fault, int]]] = {
    "processes": (Processes, FAULTS),
    "compose": (Deployment, CONTAINER_FAULTS),
    "machines": (Machines, NETWORK_FAULTS),
}
#: Seconds in which everything must have ended once the last fault is over: a lease, a reap and the slowest retries.
REST = 150
#: Seconds after which a probe that still waits is given up and counts as that long.
PROBE = 120


class Campaign:
    """Load, faults one after the other, then the verdict."""

    def __init__(self, stage: Stage, faults: Mapping[Fault, int], *, seed: int, rate: float) -> None:
        self.stage, self.verdict, self.seed = stage, Verdict(), seed
        self.load = Load(stage, rate, seed)
        self._faults = faults
        self._dice = random.Random(seed)
        self._probes: list[threading.Thread] = []

    def run(self, seconds: float, *, every: float, most: int = 10**9) -> Verdict:
        """Break something every so many seconds, for so long or so often; then judge."""
        planted = schedules.plant(self.stage)
        self.load.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end and sum(self.verdict.faults.values()) < most:
            begun = time.monotonic()
            self._break_something()
            time.sleep(max(0.0, every - (time.monotonic() - begun)))
        self.load.end()
        self._settle(planted)
        self._judge(planted)
        return self.verdict

    def _break_something(self) -> None:
        fault = self._dice.choices(list(self._faults), list(self._faults.values()))[0]
        self.verdict.faults[fault.__name__] += 1
        fault(self.stage, self._dice)
        self.verdict.died.update(self.stage.keep_alive())
        probe = threading.Thread(target=self._probe, args=(fault.__name__, time.monotonic()), daemon=True)
        probe.start()
        self._probes.append(probe)

    def _probe(self, fault: str, healed: float) -> None:
        """How long after a fault a new task is done."""
        body = {"name": "probe", "task_type": "immediate", "function_code": QUICK, "function_name": "f", "args": ["p"]}
        task_id = ""
        while time.monotonic() - healed < PROBE:
            try:
                if not task_id:
                    answer = requests.post(f"{self.stage.url}/api/tasks", json=body, timeout=5)
                    task_id = answer.json()["id"] if answer.status_code == 201 else ""
                elif requests.get(f"{self.stage.url}/api/tasks/{task_id}", timeout=5).json().get("finished_at"):
                    break
            except requests.RequestException:
                pass
            time.sleep(0.2)
        self.verdict.recoveries.append((time.monotonic() - healed, fault.replace("_", " ")))

    def _settle(self, planted: list[schedules.Schedule]) -> None:
        schedules.end(self.stage, planted)
        for probe in self._probes:
            probe.join(PROBE)
        _until(self._quiet, REST)

    def _quiet(self) -> bool:
        """Whether nothing waits or runs any more; the planted schedules stay due."""
        try:
            waiting = requests.get(f"{self.stage.url}/api/health", timeout=5).json()["queues"]
        except (requests.RequestException, KeyError):
            return False
        left = sum(count for name, count in waiting.items() if name != "due")
        return bool(left == 0 and waiting["due"] <= len(schedules.POLICIES))

    def _judge(self, planted: list[schedules.Schedule]) -> None:
        effects = self.stage.effects()
        for task in list(self.load.accepted):
            self.verdict.judge(task, self.load.see(task), effects.get(task.token, []))
        self.verdict.doubled += self.load.changed
        for schedule in planted:
            count, lost, doubled, stuck = schedules.faults_of(self.stage, schedule, effects)
            self.verdict.occurrences += count
            self.verdict.lost += lost
            self.verdict.doubled += doubled
            self.verdict.stuck += stuck


def _until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not true():
        time.sleep(0.5)


def main() -> int:
    """Run a campaign as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=12, help="tasks submitted a second")
    parser.add_argument("--every", type=float, default=5, help="seconds between two faults")
    parser.add_argument("--report", type=Path, help="default: var/faults.md, or var/faults-STAGE.md")
    parser.add_argument("--logs", type=Path, help="folder in which what the processes said is kept")
    parser.add_argument("--stage", choices=STAGES, default="processes", help="what is broken")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing of the service stays
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        make, faults = STAGES[options.stage]
        stage = make(_made(options.logs or Path(folder)))
        begun = time.monotonic()
        try:
            stage.open()
            campaign = Campaign(stage, faults, seed=options.seed, rate=options.rate)
            verdict = campaign.run(options.minutes * 60, every=options.every)
        finally:
            stage.close()
    told = verdict.report(
        campaign.load, stage=options.stage, seed=options.seed, minutes=(time.monotonic() - begun) / 60
    )
    report = options.report or Path(
        "var", "faults.md" if options.stage == "processes" else f"faults-{options.stage}.md"
    )
    _made(report.parent)
    report.write_text(told, encoding="utf-8")
    print(told)
    return 0 if verdict.clean else 1


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
