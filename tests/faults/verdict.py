"""What came of a campaign: tasks that were lost, doubled or stuck, and the report that says so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.faults.load import ENDED, Accepted, Load


@dataclass
class Verdict:
    """Everything that broke a promise, in words, and what there was beside it."""

    accepted: int = 0
    occurrences: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    recoveries: list[tuple[float, str]] = field(default_factory=list)
    died: Counter[str] = field(default_factory=Counter)

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.doubled or self.stuck)

    def judge(self, task: Accepted, shown: dict[str, Any] | None, effects: list[str]) -> None:
        """Hold one accepted task against the promises."""
        self.accepted += 1
        if shown is None:
            self.statuses["deleted"] += 1
            if task.asked != "delete":
                self.lost.append(f"{task.id} ({task.sort}): it was accepted and is not there")
        else:
            self.statuses[f"{task.sort}: {shown['status']}"] += 1
            if shown["status"] not in ENDED:
                self.stuck.append(f"{task.id} ({task.sort}): {shown['status']}")
            self._effects_of(task, shown, effects)
        if task.sort != "call flaky" and len(effects) > 1:
            self.doubled.append(f"{task.id} ({task.sort}): {len(effects)} effects")
        if task.sort == "call flaky" and len(set(effects)) > 1:
            self.doubled.append(f"{task.id} ({task.sort}): its calls had several Idempotency-Keys")

    def _effects_of(self, task: Accepted, shown: dict[str, Any], effects: list[str]) -> None:
        attempts = [attempt["status"] for attempt in shown["last_run"]["attempts"]]
        if attempts.count("succeeded") > 1:
            self.doubled.append(f"{task.id} ({task.sort}): two attempts succeeded")
        if len(effects) > len(attempts):
            self.doubled.append(f"{task.id} ({task.sort}): {len(effects)} effects of {len(attempts)} attempts")
        if shown["status"] == "succeeded" and task.sort.startswith("call") and not effects:
            self.lost.append(f"{task.id} ({task.sort}): it succeeded without an effect")
        if shown["status"] == "succeeded" and task.sort.startswith("code") and shown["result"] != task.token:
            self.lost.append(f"{task.id} ({task.sort}): its result is {shown['result']!r}")

    def report(self, load: Load, *, seed: int, minutes: float, stage: str = "processes") -> str:
        """The report, as Markdown."""
        longest, after = max(self.recoveries, default=(0.0, "none"))
        lines = [
            f"# Fault campaign, {stage}, seed {seed}, {minutes:.1f} minutes",
            "",
            f"- faults injected: {sum(self.faults.values())}",
            f"- tasks accepted: {self.accepted}, and {self.occurrences} occurrences of schedules",
            f"- lost: {len(self.lost)}",
            f"- doubled: {len(self.doubled)}",
            f"- stuck: {len(self.stuck)}",
            f"- longest recovery: {longest:.1f} s, after {after}",
            f"- submissions refused (503): {load.refused}; without an answer: {load.unanswered}",
            f"- slowest answer to a submission: {load.slowest_answer:.1f} s",
            f"- processes that ended by themselves: {dict(self.died) or 'none'}",
            "",
            "| Fault | Times |",
            "|---|---|",
            *(f"| {name.replace('_', ' ')} | {count} |" for name, count in sorted(self.faults.items())),
            "",
            "| Tasks | Number |",
            "|---|---|",
            *(f"| {name} | {count} |" for name, count in sorted(self.statuses.items())),
        ]
        for title, found in (("Lost", self.lost), ("Doubled", self.doubled), ("Stuck", self.stuck)):
            if found:
                lines += ["", f"## {title}", "", *(f"- {each}" for each in found[:100])]
        return "\n".join(lines) + "\n"
