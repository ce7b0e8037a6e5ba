"""/api/tasks/export and /api/tasks/import: schedules as JSON."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from api import audit, batch, body, idempotency, parameters
from api.openapi import Answer, Operation, describe, examples
from tasks.task_manager import TaskManager

CHOICES = (parameters.LIMIT, parameters.TASK_CURSOR, parameters.TAG)


def blueprint(manager: TaskManager) -> Blueprint:
    """The routes, over `manager`."""
    routes = Blueprint("transfer", __name__, url_prefix="/api/tasks")

    @routes.get("/export")
    @describe(
        Operation(
            summary="Export schedules",
            description=(
                "Those that have not ended, as POST /api/tasks/import takes them; without ids, owners and runs. "
                "A page may hold fewer than `limit`, and is small enough to be imported as it is."
            ),
            tag="tasks",
            parameters=CHOICES,
            answers={200: Answer(description="A page.", shape="Transfer")},
        )
    )
    def export() -> Response:
        query = body.Query(CHOICES)
        limit, cursor, tag = query.limit(), query.cursor(), query.text("tag")
        query.check()
        tasks, following = manager.export(limit=limit, cursor=cursor, tag=tag)
        return jsonify({"tasks": tasks, "next_cursor": following})

    @routes.post("/import")
    @describe(
        Operation(
            summary="Import schedules, all or none",
            description="A page of GET /api/tasks/export. They become new tasks of whoever imports them.",
            tag="tasks",
            body="Transfer",
            examples={"a schedule": {"tasks": [examples.SUBMISSIONS["run every night"]], "next_cursor": None}},
            answers={201: Answer(description="All are stored, in this order.", shape="Batched")},
            problems={422: ("invalid_task",), 429: ("quota_exceeded",)},
            idempotent=True,
        )
    )
    def import_() -> Response:
        promise = idempotency.promise(batch.stored)
        return batch.stored(manager.import_all(body.read_json(), promise, audit.account))

    return routes
