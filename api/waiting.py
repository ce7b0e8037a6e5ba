"""`Prefer: wait=N` (RFC 7240 §4.3): an answer that is held back until the task has ended."""

from __future__ import annotations

import contextlib

from flask import request
from werkzeug.http import parse_dict_header

from api import identity
from api.openapi import Parameter
from api.seats import Seats
from tasks import moment
from tasks.errors import StoreUnavailable
from tasks.model import Task, TaskType
from tasks.task_manager import TaskManager

APPLIED = "Preference-Applied"
#: Most seconds that are waited, however many are preferred.
MOST_SECONDS = 60
PREFER = Parameter(
    name="Prefer",
    where="header",
    description=(
        f"`wait=N` (RFC 7240): answer once the task has ended, after N seconds at the latest (at most {MOST_SECONDS}). "
        "Not for tasks that are not due by then. Whether it was followed is in `Preference-Applied`."
    ),
    schema={"type": "string"},
    example="wait=5",
)


def preferred() -> int | None:
    """How many seconds the client would wait; None where it says nothing that can be meant."""
    if "Prefer" not in request.headers:
        return None
    preferences = parse_dict_header(request.headers["Prefer"])
    value = next((value for name, value in preferences.items() if name.lower() == "wait"), None) or ""
    digits = value.partition(";")[0].strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10) or int(digits) == 0:
        return None
    return min(int(digits), MOST_SECONDS)


def _is_later(task: Task, seconds: int) -> bool:
    """Whether it cannot end in that time, for it is not even due."""
    due = task.next_run_at
    return task.task_type is TaskType.SCHEDULED or (due is not None and due > moment.now() + seconds * 1000)


def until_ended(manager: TaskManager, seats: Seats, task: Task) -> tuple[Task, str | None]:
    """The task, once it has ended if that is preferred, and the preference that was followed."""
    seconds, name = preferred(), identity.current().name
    if seconds is None or _is_later(task, seconds) or not seats.try_take(name):
        return task, None
    try:
        # It is stored, whatever becomes of the wait.
        with contextlib.suppress(StoreUnavailable):
            task = manager.await_end(task, seconds, leaving=identity.until_gone(seats.leaving))
    finally:
        seats.give(name)
    return task, f"wait={seconds}"
