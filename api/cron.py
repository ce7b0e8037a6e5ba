"""/api/cron: what a schedule is going to do, stored nowhere."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from api import body, representation
from tasks.task_manager import TaskManager


def blueprint(manager: TaskManager) -> Blueprint:
    """The routes, over `manager`."""
    routes = Blueprint("cron", __name__, url_prefix="/api/cron")

    @routes.post("/preview")
    def preview() -> Response:
        return jsonify(representation.preview(manager.preview(body.read_json())))

    return routes
