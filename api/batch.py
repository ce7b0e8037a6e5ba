"""/api/tasks/batch and /api/tasks/validate: many submissions at once, and one that is only looked at."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from api import audit, body, errors, idempotency, representation
from api.openapi import Answer, Operation, describe, examples
from tasks.definition import definition
from tasks.errors import InvalidTask
from tasks.model import TaskType
from tasks.moment import show
from tasks.task_manager import TaskManager

#: What is no id of a task: every other method of these paths is answered 405.
NAMES = ("batch", "validate", "export", "import")
ALL = [examples.SUBMISSIONS[name] for name in ("run at once", "run after five minutes", "run every night")]


def blueprint(manager: TaskManager) -> Blueprint:
    """The routes, over `manager`."""
    routes = Blueprint("batch", __name__, url_prefix="/api/tasks")

    @routes.post("/batch")
    @describe(
        Operation(
            summary="Submit many tasks, all or none",
            description="Up to 1,000. Answered only after Redis has all of them. `index` of an error says whose it is.",
            tag="tasks",
            body="Batch",
            examples={"three tasks": {"tasks": ALL}},
            answers={201: Answer(description="All are stored, in this order.", shape="Batched")},
            problems={422: ("invalid_task",), 429: ("quota_exceeded",)},
            idempotent=True,
        )
    )
    def submit() -> Response:
        promise = idempotency.promise(stored)
        return stored(manager.submit_all(body.read_json(), promise, audit.account))

    @routes.post("/validate")
    @describe(
        Operation(
            summary="Say what would become of a submission",
            description="Stores nothing. Also what is wrong is a 200, with every error: `line` and `column` for code.",
            tag="tasks",
            body="AnySubmission",
            examples={**examples.SUBMISSIONS, **examples.MORE_SUBMISSIONS},
            answers={200: Answer(description="What would become of it.", shape="Validated")},
            problems={422: ("invalid_task",)},
            needs_redis=False,
        )
    )
    def validate() -> Response:
        submission = body.read_json()
        try:
            task = manager.validate(submission)
        except InvalidTask as error:
            if not isinstance(submission, dict):
                raise
            faults = errors.faults(error.problems)
            return jsonify({"valid": False, "errors": faults, "kind": None, "next_runs": [], "task": None})
        scheduled = task.task_type is TaskType.SCHEDULED
        times = manager.upcoming(task, representation.UPCOMING) if scheduled else [task.next_run_at]
        return jsonify(
            {
                "valid": True,
                "errors": [],
                "kind": task.kind,
                "next_runs": [show(time) for time in times],
                "task": definition(task),
            }
        )

    return routes


def stored(tasks: Any) -> Response:
    """The answer to tasks that were stored together."""
    response = jsonify({"tasks": [representation.task_summary(task) for task in tasks]})
    response.status_code = 201
    return response
