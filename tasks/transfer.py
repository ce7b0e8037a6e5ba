"""Export and import: schedules as JSON, to keep beside the code or to move to another service."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

from tasks.definition import definition
from tasks.errors import FieldProblem, InvalidTask, TaskNotFound
from tasks.model import Status, Task, TaskType
from tasks.submission import Accepted

#: Statuses of schedules that go on.
GOING_ON = frozenset({Status.SCHEDULED, Status.PAUSED})
#: What an exported schedule has besides the fields of a submission.
PAUSED = "paused"


def page(
    found: Sequence[Task], following: str | None, get: Callable[[str], Task], *, room: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Definitions of those that go on, at most `room` bytes of them, but one at least; where to go on."""
    shown: list[dict[str, Any]] = []
    last: str | None = None
    for summary in found:
        if summary.status in GOING_ON and (fields := _whole(summary.id, get)) is not None:
            room -= len(json.dumps(fields).encode())
            if shown and room < 0:
                return shown, last
            shown.append(fields)
        last = summary.id
    return shown, following


def _whole(task_id: str, get: Callable[[str], Task]) -> dict[str, Any] | None:
    """The definition; None where the task was deleted or has ended meanwhile."""
    try:
        task = get(task_id)
    except TaskNotFound:
        return None
    if task.status not in GOING_ON:
        return None
    return {**definition(task), **({PAUSED: True} if task.status is Status.PAUSED else {})}


def without_cursor(body: Any) -> Any:
    """An exported page with no more than its tasks."""
    return {name: value for name, value in body.items() if name != "next_cursor"} if isinstance(body, dict) else body


def unpacked(entries: Sequence[Any]) -> tuple[list[Any], list[bool]]:
    """The submissions, and which of them are paused. Raises InvalidTask where that is neither true nor false."""
    problems = [
        FieldProblem(
            pointer=f"/tasks/{index}/{PAUSED}", code="wrong_type", message="must be true or false.", index=index
        )
        for index, entry in enumerate(entries)
        if isinstance(entry, dict) and not isinstance(entry.get(PAUSED) or False, bool)
    ]
    if problems:
        raise InvalidTask(problems)
    bodies = [
        {name: value for name, value in entry.items() if name != PAUSED} if isinstance(entry, dict) else entry
        for entry in entries
    ]
    return bodies, [isinstance(entry, dict) and bool(entry.get(PAUSED)) for entry in entries]


def check(accepted: Sequence[Accepted]) -> None:
    """Raises InvalidTask where one is no schedule."""
    problems = [
        FieldProblem(
            pointer=f"/tasks/{index}/task_type",
            code="invalid",
            message="must be scheduled; submit other tasks with POST /api/tasks/batch.",
            index=index,
        )
        for index, each in enumerate(accepted)
        if each.task.task_type is not TaskType.SCHEDULED
    ]
    if problems:
        raise InvalidTask(problems)


def with_pauses(accepted: Sequence[Accepted], paused: Sequence[bool]) -> list[Accepted]:
    """The same, those paused that are."""
    return [
        dataclasses.replace(each, task=dataclasses.replace(each.task, status=Status.PAUSED)) if rests else each
        for each, rests in zip(accepted, paused, strict=True)
    ]
