"""Writes the pages that are made from the code: `python -m docs.generate`.

docs/explain/states.md comes from the table of moves in tasks/model.py, the second half of docs/reference/api.md from
the API's own description.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from api import create_app, identity
from api.openapi.document import document
from config.settings import load
from docs import calls
from tasks.base_tasks import build_kinds
from tasks.model import ENDED, FINISHED, RUN_MOVES, SCHEDULE_MOVES, Priority, Status
from tasks.store import Store
from tasks.store.accounts import Accounts
from tasks.task_manager import TaskManager

S = Status
PAGE = Path(__file__).parent / "explain" / "states.md"
API_PAGE = Path(__file__).parent / "reference" / "api.md"

MEANING: Mapping[Status, str] = {
    S.SCHEDULED: "Waits for its time.",
    S.QUEUED: "Waits for a worker with room.",
    S.RUNNING: "A worker has it.",
    S.RETRYING: "An attempt failed; the next one waits for its time.",
    S.STOPPING: "Was told to stop; its worker is ending it.",
    S.SUCCEEDED: "Did its work; `result` has what came of it.",
    S.FAILED: "Did not do its work; `error` says why.",
    S.TIMED_OUT: "Was ended at its `timeout`.",
    S.STOPPED: "Was stopped on request.",
    S.LOST: "Its worker went away and it may not be done again: nobody knows how far it came.",
    S.EXPIRED: "Was not started within `expires_in` seconds of its due time.",
    S.SKIPPED: "Was due but not run; `reason` is `overlap`, `misfire` or `paused`.",
    S.PAUSED: "Does not fire now: its occurrences are recorded as skipped until it is resumed.",
    S.COMPLETED: "Will never fire again: `max_runs` or `end_at` was reached.",
}

Moves = Mapping[tuple[Status, Status], str]
RUN_REASONS: Moves = {
    (
        S.SCHEDULED,
        S.QUEUED,
    ): "Beat, when it is due; a run-now request; or the end of the run before it (`overlap: queue`)",
    (S.SCHEDULED, S.STOPPED): "a stop request",
    (S.SCHEDULED, S.EXPIRED): "allowed, but nothing does it today: a run expires when a worker would take it",
    (S.QUEUED, S.RUNNING): "a worker claims it",
    (S.QUEUED, S.STOPPED): "a stop request",
    (S.QUEUED, S.EXPIRED): "a worker would claim it, but `expires_in` has passed",
    (S.RUNNING, S.SUCCEEDED): "its worker: the work was done",
    (S.RUNNING, S.FAILED): "its worker: the work failed and there is no further attempt",
    (S.RUNNING, S.TIMED_OUT): "its worker: `timeout` was reached and there is no further attempt",
    (S.RUNNING, S.RETRYING): "its worker: the attempt failed and `retry` allows another",
    (S.RUNNING, S.STOPPING): "a stop request",
    (S.RUNNING, S.QUEUED): "its worker went away or gave it back, and it may be done again",
    (S.RUNNING, S.LOST): "its worker went away or gave it back, and it may not be done again",
    (S.RETRYING, S.QUEUED): "Beat, when the wait is over; or a run-now request",
    (S.RETRYING, S.STOPPED): "a stop request",
    (S.RETRYING, S.EXPIRED): "allowed, but nothing does it today: a retry that would come too late is not planned",
    (S.STOPPING, S.STOPPED): "its worker has ended it; or Beat, where that worker is gone",
}
SCHEDULE_REASONS: Moves = {
    (S.SCHEDULED, S.PAUSED): "a pause request",
    (S.SCHEDULED, S.COMPLETED): "`max_runs` or `end_at` was reached",
    (S.SCHEDULED, S.STOPPING): "a stop request, while a run of it is in progress",
    (S.SCHEDULED, S.STOPPED): "a stop request",
    (S.PAUSED, S.SCHEDULED): "a resume request",
    (S.PAUSED, S.COMPLETED): "`end_at` was reached",
    (S.PAUSED, S.STOPPING): "a stop request, while a run of it is in progress",
    (S.PAUSED, S.STOPPED): "a stop request",
    (S.COMPLETED, S.STOPPING): "a stop request, while its last run is in progress",
    (S.STOPPING, S.STOPPED): "the last run in progress has ended",
}

INTRODUCTION = """\
<!-- Written by `python -m docs.generate` from tasks/model.py; change it there. -->
# States

One table in [tasks/model.py](../../tasks/model.py) says which status may follow which. Every script that changes a
task or a run in Redis is given that table and refuses any other move, so two things that happen at once, such as a
stop and a result, cannot both win.

An immediate or delayed task has one run, and the task's status is that run's status: what is said of runs below holds
for it too. A scheduled task has a status of
its own and many runs.
"""


def states() -> str:
    """The text of docs/explain/states.md. Raises KeyError for a status or a move that nobody has explained here."""
    parts = [INTRODUCTION, "## What each status means\n", _meanings()]
    parts += [
        "## Runs, and tasks of type immediate and delayed\n",
        _diagram(RUN_MOVES, (S.SCHEDULED, S.QUEUED, S.SKIPPED)),
    ]
    parts += [_table(RUN_MOVES, RUN_REASONS), "A finished run never changes again.\n"]
    parts += [
        "## Tasks of type scheduled\n",
        _diagram(SCHEDULE_MOVES, (S.SCHEDULED,)),
        _table(SCHEDULE_MOVES, SCHEDULE_REASONS),
    ]
    return "\n".join(parts)


def _meanings() -> str:
    lines = ["| Status | Of | Means | Finished |", "|---|---|---|---|"]
    lines += [
        f"| `{status}` | {_of(status)} | {MEANING[status]} | {'yes' if status in ENDED else 'no'} |"
        for status in Status
    ]
    return "\n".join(lines) + "\n"


def _of(status: Status) -> str:
    of_runs = status in RUN_MOVES or status in FINISHED
    of_schedules = status in SCHEDULE_MOVES or any(status in after for after in SCHEDULE_MOVES.values())
    if of_runs and of_schedules:
        return "run, task"
    return "run" if of_runs else "scheduled task"


def _pairs(moves: Mapping[Status, frozenset[Status]]) -> Iterator[tuple[Status, Status]]:
    for was in Status:
        for new in Status:
            if new in moves.get(was, ()):
                yield was, new


def _diagram(moves: Mapping[Status, frozenset[Status]], first: tuple[Status, ...]) -> str:
    lines = ["```mermaid", "stateDiagram-v2", *(f"    [*] --> {status}" for status in first)]
    lines += [f"    {was} --> {new}" for was, new in _pairs(moves)]
    ends = {new for _, new in _pairs(moves)} | set(first)
    lines += [
        f"    {status} --> [*]" for status in Status if status in ends and (status in ENDED or status not in moves)
    ]
    return "\n".join([*lines, "```"]) + "\n"


def _table(moves: Mapping[Status, frozenset[Status]], reasons: Moves) -> str:
    lines = ["| From | To | By |", "|---|---|---|"]
    lines += [f"| `{was}` | `{new}` | {reasons[was, new]} |" for was, new in _pairs(moves)]
    return "\n".join(lines) + "\n"


def description() -> dict[str, Any]:
    """The OpenAPI document of a service that wants tokens; no Redis is asked."""
    with TemporaryDirectory() as folder:
        settings = load(data_dir=folder, log_dir=folder, auth_required=True)
        store, kinds = Store("redis://127.0.0.1:1/0", timeout=1), build_kinds(settings)
        manager = TaskManager(store=store, bell=_NoBell(), kinds=kinds, settings=settings, who=identity.current)
        app = create_app(settings, manager, kinds, Accounts(store.connection))
        return document(app, kinds, needs_token=True)


class _NoBell:
    def ring(self, run_ids: Iterable[str], priority: Priority = Priority.NORMAL) -> None:
        """Nothing is submitted here."""


def api(page: str, found: Mapping[str, Any]) -> str:
    """The text of docs/reference/api.md: what people wrote, then what the document `found` tells."""
    written = page.partition(calls.INTRODUCTION.partition("\n")[0])[0]
    return f"{written.rstrip()}\n\n{calls.reference(found)}"


if __name__ == "__main__":
    PAGE.write_text(states(), encoding="utf-8")
    API_PAGE.write_text(api(API_PAGE.read_text(encoding="utf-8"), description()), encoding="utf-8")
