"""What the scripts answer, as records of tasks/model.py."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.model import Callback, Priority, Retry, Run, Status, Task, TaskType


def pairs(flat: Sequence[str]) -> dict[str, str]:
    """`[field, value, field, value]` as a mapping."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def task(task_id: str, fields: Mapping[str, str], about: str, spec: str | None, last_run: Run | None) -> Task:
    """A Task from its hash and its JSON parts; `spec` is None in listings."""
    told = json.loads(about)
    return Task(
        id=task_id,
        name=told["name"],
        task_type=TaskType(fields["type"]),
        kind=fields["kind"],
        spec=json.loads(spec) if spec else {},
        timing=told.get("timing", {}),
        timeout=told["timeout"],
        retry=retry(told.get("retry")),
        expires_in=told.get("expires_in"),
        callback=callback(told.get("callback")),
        tags=tuple(told.get("tags", ())),
        priority=Priority(fields.get("prio", Priority.NORMAL)),
        status=Status(fields["status"]),
        reason=fields.get("reason"),
        created_at=int(fields["created"]),
        updated_at=int(fields["updated"]),
        revision=int(fields.get("rev", 1)),
        next_run_at=_int(fields.get("due")),
        run_count=int(fields["runs"]),
        owner=fields.get("owner", "anonymous"),
        fired=int(fields.get("fired", 0)),
        missed=int(fields.get("missed", 0)),
        last_run=last_run,
    )


def about(task: Task) -> dict[str, Any]:
    """What is stored of a task beside its hash and its spec, and read again by `task`."""
    told: dict[str, Any] = {"name": task.name, "timeout": task.timeout}
    if task.timing:
        told["timing"] = task.timing
    if task.retry.max:
        told["retry"] = {name: getattr(task.retry, name) for name in task.retry.__dataclass_fields__}
    if task.expires_in is not None:
        told["expires_in"] = task.expires_in
    if task.callback is not None:
        told["callback"] = {"url": task.callback.url, "events": task.callback.events}
    if task.tags:
        told["tags"] = task.tags
    return told


def retry(told: Mapping[str, Any] | None) -> Retry:
    """The retry policy as it was stored."""
    return Retry(**{**told, "on": tuple(told.get("on", ()))}) if told else Retry()


def callback(told: Mapping[str, Any] | None) -> Callback | None:
    """The callback as it was stored."""
    return Callback(url=told["url"], events=tuple(told["events"])) if told else None


def run(answer: Sequence[Any]) -> Run:
    """A Run from `[id, fields, outcome, attempts, stdout, stderr]`; the last two are what is kept while it goes on."""
    run_id, flat, outcome, attempts, stdout, stderr = answer
    fields = pairs(flat)
    told = json.loads(outcome) if outcome else {}
    task_id, _, number = run_id.rpartition(".")
    return Run(
        id=run_id,
        task_id=task_id,
        number=int(number),
        status=Status(fields["status"]),
        due_at=int(fields["due"]),
        queued_at=_int(fields.get("queued")),
        started_at=_int(fields.get("started")),
        finished_at=_int(fields.get("finished")),
        reason=fields.get("reason"),
        worker=fields.get("worker"),
        attempt=int(fields.get("attempt", 0)),
        attempts=tuple(json.loads(attempt) for attempt in attempts),
        result=told.get("result"),
        error=told.get("error"),
        stdout=told.get("stdout", stdout),
        stderr=told.get("stderr", stderr),
        output_truncated=told.get("output_truncated", False),
        usage=told.get("usage"),
    )


def _int(text: str | None) -> int | None:
    return int(text) if text else None
