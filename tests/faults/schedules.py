"""Schedules under fire: every occurrence between the first and the last must be a run or a skipped row, once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests

from tests.faults.stage import Stage
from tests.integration.service import wait_for

#: Seconds between two occurrences.
STEP = 2
POLICIES = (("skip", "once"), ("allow", "all"), ("queue", "skip"), ("allow", "once"))


@dataclass
class Schedule:
    """A task that fires all through the campaign."""

    id: str
    token: str


def plant(stage: Stage) -> list[Schedule]:
    """A schedule for each pair of policies, and one that is paused and resumed."""
    found = []
    for number, (overlap, misfire) in enumerate(POLICIES):
        token = f"schedule-{number}"
        task = stage.submit(
            name=token,
            task_type="scheduled",
            cron_expression=f"*/{STEP} * * * * *",
            api_url=f"{stage.sink}/effect/{token}",
            overlap=overlap,
            misfire=misfire,
            misfire_limit=5,
        )
        found.append(Schedule(task["id"], token))
    return found


def end(stage: Stage, schedules: list[Schedule]) -> None:
    """Fire no more, and let what runs come to its end."""
    for schedule in schedules:
        wait_for("the pause", lambda: _post(stage, f"/api/tasks/{schedule.id}/pause"), seconds=60)  # noqa: B023


def _post(stage: Stage, path: str) -> bool:
    try:
        return requests.post(f"{stage.url}{path}", timeout=15).status_code == 200
    except requests.RequestException:
        return False


def faults_of(
    stage: Stage, schedule: Schedule, effects: dict[str, list[str]]
) -> tuple[int, list[str], list[str], list[str]]:
    """How many occurrences there were; then what was lost, doubled and stuck, in words."""
    task, runs = stage.task(schedule.id), _runs(stage, schedule.id)
    dues = sorted(run["due_at"] for run in runs)
    lost, doubled, stuck = [], [], []
    if len(dues) != len(set(dues)):
        doubled.append(f"{schedule.token}: a due time has two runs")
    expected = round((_seconds(dues[-1]) - _seconds(dues[0])) / STEP) + 1
    gone = expected - len(set(dues)) - task["skipped_unlisted"]
    if gone > 0:
        lost.append(f"{schedule.token}: {gone} of {expected} occurrences left no trace")
    open_runs = [run["id"] for run in runs if run["finished_at"] is None]
    stuck += [f"{schedule.token}: {run_id} has not ended" for run_id in open_runs]
    started = sum(1 for run in runs if run["attempt"])
    done = sum(1 for run in runs if run["status"] == "succeeded")
    seen = len(effects.get(schedule.token, ()))
    if seen > started:
        doubled.append(f"{schedule.token}: {seen} effects of {started} calls")
    if seen < done:
        lost.append(f"{schedule.token}: {done} succeeded and only {seen} had an effect")
    return expected, lost, doubled, stuck


def _runs(stage: Stage, task_id: str) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = stage.call("GET", f"/api/tasks/{task_id}/runs?limit=500{cursor}").json()
        runs += page["runs"]
        if page["next_cursor"] is None:
            return runs
        cursor = f"&cursor={page['next_cursor']}"


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
