"""How tasks and runs look to clients."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from flask import Response, jsonify, request

from tasks.cron_text import explain
from tasks.model import Run, Status, Task, TaskType
from tasks.moment import show
from tasks.occurrence import Remark
from tasks.preview import Preview

RETRY_FIELDS = ("max", "backoff", "factor", "max_delay", "jitter", "on")
#: How many of its next times a scheduled task shows.
UPCOMING = 5
#: What a task that runs only once shows of its run as its own.
BESIDE_TASK = ("result", "error", "stdout", "stderr", "started_at", "finished_at", "duration", "attempt")


def task_summary(task: Task) -> dict[str, Any]:
    """A task as listings have it: without its work and its results."""
    return {
        "id": task.id,
        "name": task.name,
        "owner": task.owner,
        "task_type": task.task_type,
        "kind": task.kind,
        "status": task.status,
        "reason": task.reason,
        "tags": task.tags,
        "priority": task.priority,
        **task.timing,
        "created_at": show(task.created_at),
        "updated_at": show(task.updated_at),
        "next_run_at": None if task.status is Status.PAUSED else show(task.next_run_at),
        "run_count": task.run_count,
    }


def task_detail(task: Task, upcoming: Sequence[int] = ()) -> dict[str, Any]:
    """A task with its work and its last run; `upcoming` are the next times of a scheduled one."""
    run = task.last_run
    shown = {**task_summary(task), **task.spec, "timeout": task.timeout}
    if task.retry.max:
        shown["retry"] = {name: getattr(task.retry, name) for name in RETRY_FIELDS}
    if task.expires_in is not None:
        shown["expires_in"] = task.expires_in
    if task.callback is not None:
        shown["callback"] = {"url": task.callback.url, "events": task.callback.events}
    shown["last_run"] = run_detail(run) if run else None
    if task.task_type is TaskType.SCHEDULED:
        shown["next_runs"] = [show(moment) for moment in upcoming]
        shown["skipped_unlisted"] = task.missed
    elif run:
        shown.update({name: shown["last_run"][name] for name in BESIDE_TASK})
    return shown


def tagged(task: Task, upcoming: Sequence[int]) -> Response:
    """A task as an answer, with its entity tag."""
    return unless_known(jsonify(task_detail(task, upcoming)), etag(task))


def tagged_run(run: Run) -> Response:
    """A run as an answer, with its entity tag: whatever changes the way it looks changes the tag."""
    response = jsonify(run_detail(run))
    return unless_known(response, f'"{hashlib.sha256(response.get_data()).hexdigest()[:32]}"')


def unless_known(response: Response, tag: str) -> Response:
    """The answer with its entity tag; to a reader whose If-None-Match has it, 304 without a body (RFC 9110 §13.1.2)."""
    if request.method in ("GET", "HEAD") and request.if_none_match.contains_weak(tag.strip('"')):
        response = Response(status=304)
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def page(name: str, shown: Sequence[Mapping[str, Any]], following: str | None, total: int | None) -> Response:
    """A page of a listing, and where the next one is also as a Link (RFC 8288)."""
    response = jsonify({name: shown, "next_cursor": following, "total": total})
    if following is not None:
        query = urlencode({**request.args.to_dict(), "cursor": following})
        response.headers["Link"] = f'<{quote(request.path)}?{query}>; rel="next"'
    return response


def etag(task: Task) -> str:
    """The entity tag of a task: its revision, which editing is about, then what else changes the way it looks."""
    return f'"{task.revision}.{task.updated_at:x}.{task.run_count:x}.{task.status}"'


def preview(told: Preview) -> dict[str, Any]:
    """What a schedule is going to do."""
    cron = told.cron
    touched = {remark.moment: remark for remark in told.remarks}
    return {
        "cron_expression": cron.expression,
        "timezone": cron.zone,
        "description": {"en": told.sentence("en"), "zh": told.sentence("zh")},
        "next_runs": [show(due) for due in told.moments],
        "occurrences": [
            {"at": show(due), "local": told.local(due), "remark": _remark(touched[due]) if due in touched else None}
            for due in told.moments
        ],
        "clock_changes": [
            {"at": show(remark.moment), "local": told.local(remark.moment), "remark": _remark(remark)}
            for remark in told.touched
        ],
    }


def _remark(remark: Remark) -> dict[str, str]:
    return {
        "touch": remark.touch,
        "named": remark.wall,
        "en": explain(remark, "en"),
        "zh": explain(remark, "zh"),
    }


def run_detail(run: Run) -> dict[str, Any]:
    """A run with all that came of it."""
    return {
        "id": run.id,
        "task_id": run.task_id,
        "number": run.number,
        "status": run.status,
        "reason": run.reason,
        "due_at": show(run.due_at),
        "queued_at": show(run.queued_at),
        "started_at": show(run.started_at),
        "finished_at": show(run.finished_at),
        "duration": _seconds(run.started_at, run.finished_at),
        "worker": run.worker,
        "attempt": run.attempt,
        "attempts": _attempts(run),
        "result": run.result,
        "error": run.error,
        "stdout": run.stdout,
        "stderr": run.stderr,
        "output_truncated": run.output_truncated,
        "usage": run.usage,
    }


def _attempts(run: Run) -> list[dict[str, Any]]:
    ended = [
        {
            "number": attempt["number"],
            "worker": attempt.get("worker"),
            "status": attempt["status"],
            "code": attempt.get("code") or None,
            "started_at": show(attempt.get("started_at")),
            "finished_at": show(attempt["finished_at"]),
        }
        for attempt in run.attempts
    ]
    if run.attempt > (ended[-1]["number"] if ended else 0):
        ended.append(
            {
                "number": run.attempt,
                "worker": run.worker,
                "status": run.status,
                "code": run.error["code"] if run.error else None,
                "started_at": show(run.started_at),
                "finished_at": show(run.finished_at),
            }
        )
    return ended


def _seconds(start: int | None, end: int | None) -> float | None:
    return None if start is None or end is None else max(0, end - start) / 1000
