"""/api/tasks/{id}/runs: what came of a task, occurrence by occurrence."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from api import body, representation
from tasks.model import Status
from tasks.task_manager import TaskManager


def blueprint(manager: TaskManager) -> Blueprint:
    """The routes, over `manager`."""
    routes = Blueprint("runs", __name__, url_prefix="/api/tasks/<task_id>/runs")

    @routes.get("")
    def listing(task_id: str) -> Response:
        query = body.Query(("limit", "cursor", "status"))
        limit, status = query.limit(), query.choice("status", Status)
        below = query.whole("cursor", 0, 1, 10**11)
        query.check()
        runs, following, total = manager.runs(task_id, limit=limit, below=below or None, status=status or "")
        shown = [representation.run_detail(run) for run in runs]
        cursor = None if following is None else str(following)
        return jsonify({"runs": shown, "next_cursor": cursor, "total": None if status else total})

    @routes.get("/<run_id>")
    def show(task_id: str, run_id: str) -> Response:
        return jsonify(representation.run_detail(manager.run(task_id, run_id)))

    return routes
