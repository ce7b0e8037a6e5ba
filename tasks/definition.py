"""A task's definition: the fields with which it could be submitted again, and what an edit makes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from tasks.errors import FieldProblem, InvalidTask
from tasks.model import Task, TaskType
from tasks.submission import TIMING, Accepted, Parser

#: Timing fields that decide when the next occurrence is.
CLOCKWORK = ("cron_expression", "timezone", "start_at", "end_at", *TIMING[TaskType.DELAYED])


def definition(task: Task) -> dict[str, Any]:
    """The fields of `task` as they could be submitted."""
    fields: dict[str, Any] = {
        "name": task.name,
        "task_type": task.task_type,
        **task.spec,
        **task.timing,
        "timeout": task.timeout,
        "tags": list(task.tags),
        "priority": task.priority,
    }
    if task.retry.max:
        fields["retry"] = {**dataclasses.asdict(task.retry), "on": list(task.retry.on)}
    if task.callback is not None:
        fields["callback"] = {"url": task.callback.url, "events": list(task.callback.events)}
    if task.expires_in is not None:
        fields["expires_in"] = task.expires_in
    return fields


def edited(parser: Parser, task: Task, patch: Any, now: int) -> Accepted:
    """What `task` becomes with the fields of `patch`; null takes a field back to its default.

    Raises InvalidTask with every problem, as at submission.
    """
    if not isinstance(patch, dict):
        parser.parse(patch, now)
    body = _merged(definition(task), patch)
    problems = list(_what_stays(task, patch))
    body["task_type"] = task.task_type
    try:
        accepted = parser.parse(body, now, task_id=task.id)
    except InvalidTask as error:
        raise InvalidTask([*problems, *error.problems]) from None
    if accepted.task.kind != task.kind:
        text = f"This is a {task.kind} task and stays one; submit a new task for other work."
        problems.append(FieldProblem(pointer="", code="not_editable", message=text))
    if problems:
        raise InvalidTask(problems)
    return accepted


def changes_time(task: Task, changed: Task, patch: Mapping[str, Any]) -> bool:
    """Whether an edit decides anew when the task is due."""
    if task.task_type is TaskType.DELAYED:
        return any(name in patch for name in TIMING[TaskType.DELAYED])
    return any(task.timing.get(name) != changed.timing.get(name) for name in CLOCKWORK)


def _merged(body: dict[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    other = {"run_at": "delay_seconds", "delay_seconds": "run_at"}
    for name, value in patch.items():
        if name in other and value is not None and other[name] not in patch:
            body.pop(other[name], None)
    for name, value in patch.items():
        if value is None and name in body:
            del body[name]
        else:
            body[name] = value
    return body


def _what_stays(task: Task, patch: Mapping[str, Any]) -> Iterator[FieldProblem]:
    if "task_type" in patch and patch["task_type"] != task.task_type:
        text = f"This is a task of type {task.task_type} and stays one; submit a new task instead."
        yield FieldProblem(pointer="/task_type", code="not_editable", message=text)
    most = patch.get("max_runs")
    if isinstance(most, int) and task.task_type is TaskType.SCHEDULED and 0 < most <= task.fired:
        text = f"must be more than {task.fired}, the number of runs there have been; stop the task to end it."
        yield FieldProblem(pointer="/max_runs", code="too_small", message=text)
