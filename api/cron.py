"""/api/cron: what a schedule is going to do, stored nowhere."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from api import body, representation
from api.openapi import Answer, Operation, describe
from tasks.task_manager import TaskManager


def blueprint(manager: TaskManager) -> Blueprint:
    """The routes, over `manager`."""
    routes = Blueprint("cron", __name__, url_prefix="/api/cron")

    @routes.post("/preview")
    @describe(
        Operation(
            summary="Preview a schedule",
            description="When it fires, in words, and what changes of the clock do to it. Nothing is stored.",
            tag="schedules",
            body="PreviewFields",
            examples={"a time in the spring gap": {"cron_expression": "30 2 * * *", "timezone": "America/New_York"}},
            answers={200: Answer(description="What it is going to do.", shape="Preview")},
            problems={422: ("invalid_task",)},
            needs_redis=False,
        )
    )
    def preview() -> Response:
        return jsonify(representation.preview(manager.preview(body.read_json())))

    return routes
