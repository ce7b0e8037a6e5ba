"""/api/tasks: submit, list, show, stop, delete."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, url_for

from api import body, representation
from tasks.model import Status, TaskType
from tasks.task_manager import TaskManager

UPCOMING = 5


def blueprint(manager: TaskManager, kinds: tuple[str, ...]) -> Blueprint:
    """The routes, over `manager`; `kinds` are the names that the filter `kind` takes."""
    routes = Blueprint("tasks", __name__, url_prefix="/api/tasks")

    @routes.post("")
    def submit() -> tuple[Response, int, dict[str, str]]:
        task = manager.submit(body.read_json())
        shown = representation.task_detail(task, manager.upcoming(task, UPCOMING))
        return jsonify(shown), 201, {"Location": url_for("tasks.show", task_id=task.id)}

    @routes.get("")
    def listing() -> Response:
        query = body.Query(
            (
                "limit",
                "cursor",
                "status",
                "task_type",
                "kind",
                "tag",
                "name",
                "owner",
                "created_after",
                "created_before",
            )
        )
        chosen = {
            "status": query.choice("status", Status),
            "type": query.choice("task_type", TaskType),
            "kind": query.choice("kind", kinds),
            "tag": query.text("tag"),
            "owner": query.text("owner"),
        }
        limit, cursor, name = query.limit(), query.cursor(), query.text("name")
        after, before = query.moment("created_after"), query.moment("created_before")
        query.check()
        tasks, following, total = manager.list(
            limit=limit,
            cursor=cursor,
            filters={index: value for index, value in chosen.items() if value},
            name=name or "",
            created_after=after,
            created_before=before,
        )
        shown = [representation.task_summary(task) for task in tasks]
        return jsonify({"tasks": shown, "next_cursor": following, "total": total})

    @routes.get("/<task_id>")
    def show(task_id: str) -> Response:
        task = manager.get(task_id)
        return jsonify(representation.task_detail(task, manager.upcoming(task, UPCOMING)))

    @routes.post("/<task_id>/stop")
    def stop(task_id: str) -> tuple[Response, int]:
        task = manager.stop(task_id)
        return jsonify(representation.task_detail(task)), 202 if task.status is Status.STOPPING else 200

    @routes.delete("/<task_id>")
    def delete(task_id: str) -> tuple[str, int]:
        manager.delete(task_id)
        return "", 204

    return routes
