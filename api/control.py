"""/api/tasks/{id}: edit, pause, resume, run now."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, url_for

from api import body, representation
from tasks.model import Task
from tasks.task_manager import TaskManager


def blueprint(manager: TaskManager) -> Blueprint:
    """The routes, over `manager`."""
    routes = Blueprint("control", __name__, url_prefix="/api/tasks/<task_id>")

    def shown(task: Task) -> Response:
        return representation.tagged(task, manager.upcoming(task, representation.UPCOMING))

    @routes.patch("")
    def edit(task_id: str) -> Response:
        return shown(manager.edit(task_id, body.read_json(), revision=body.revision()))

    @routes.post("/pause")
    def pause(task_id: str) -> Response:
        return shown(manager.pause(task_id))

    @routes.post("/resume")
    def resume(task_id: str) -> Response:
        return shown(manager.resume(task_id))

    @routes.post("/run")
    def run_now(task_id: str) -> tuple[Response, int, dict[str, str]]:
        run = manager.run_now(task_id)
        where = url_for("runs.show", task_id=task_id, run_id=run.id)
        return jsonify(representation.run_detail(run)), 201, {"Location": where}

    return routes
