"""/api/tasks/{id}: edit, pause, resume, run now."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, url_for

from api import body, idempotency, parameters, representation
from api.openapi import Answer, Operation, describe, examples
from tasks.model import Task
from tasks.task_manager import TaskManager


def blueprint(manager: TaskManager) -> Blueprint:
    """The routes, over `manager`."""
    routes = Blueprint("control", __name__, url_prefix="/api/tasks/<task_id>")

    def shown(task: Task) -> Response:
        return representation.tagged(task, manager.upcoming(task, representation.UPCOMING))

    @routes.patch("")
    @describe(
        Operation(
            summary="Edit a task that is still to run",
            description="Checked as at submission. Runs that have started keep what they have.",
            tag="tasks",
            body="TaskEdit",
            examples={"another time": {"cron_expression": "30 2 * * 1-5", "timezone": "Asia/Shanghai", "tags": None}},
            parameters=(parameters.IF_MATCH,),
            answers={200: Answer(description="The task as it is now.", shape="Task", headers=("ETag",))},
            problems={409: ("illegal_move",), 412: ("task_changed",), 422: ("invalid_task",)},
        )
    )
    def edit(task_id: str) -> Response:
        return shown(manager.edit(task_id, body.read_json(), revisions=body.revisions()))

    @routes.post("/pause")
    @describe(
        Operation(
            summary="Pause a schedule",
            description="Its occurrences are recorded as skipped until it is resumed. Runs in progress go on.",
            tag="tasks",
            answers={200: Answer(description="It is paused.", shape="Task", headers=("ETag",))},
            problems={409: ("illegal_move",)},
            idempotent=True,
        )
    )
    def pause(task_id: str) -> Response:
        return shown(manager.pause(task_id))

    @routes.post("/resume")
    @describe(
        Operation(
            summary="Resume a paused schedule",
            description="It goes on at its next time; nothing is made up for.",
            tag="tasks",
            answers={200: Answer(description="It is scheduled.", shape="Task", headers=("ETag",))},
            problems={409: ("illegal_move",)},
            idempotent=True,
        )
    )
    def resume(task_id: str) -> Response:
        return shown(manager.resume(task_id))

    @routes.post("/run")
    @describe(
        Operation(
            summary="Run a task now",
            description="The schedule stays as it is. A delayed task starts its one run early.",
            tag="tasks",
            answers={201: Answer(description="The run.", shape="Run", headers=("Location",), example=examples.RUN)},
            problems={409: ("illegal_move", "overlap")},
            idempotent=True,
        )
    )
    def run_now(task_id: str) -> tuple[Response, int, dict[str, str]]:
        run = manager.run_now(task_id, idempotency.receipt())
        where = url_for("runs.show", task_id=task_id, run_id=run.id)
        return jsonify(representation.run_detail(run)), 201, {"Location": where}

    return routes
