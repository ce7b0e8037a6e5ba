"""/api/tasks: submit, list, show, stop, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flask import Blueprint, Response, jsonify, request

from api import audit, body, express, idempotency, parameters, representation, waiting
from api.openapi import Answer, Operation, describe, examples
from api.seats import Seats
from tasks.base_tasks import Kind
from tasks.model import Status, Task, TaskType
from tasks.task_manager import TaskManager

#: Calls that may follow a submission, for clients that walk the document.
LINKS = {name: (f"tasks_{name}", {"task_id": "$response.body#/id"}) for name in ("show", "stop", "delete")} | {
    "runs": ("runs_listing", {"task_id": "$response.body#/id"})
}


def blueprint(manager: TaskManager, kinds: Mapping[str, Kind], seats: Seats) -> Blueprint:
    """The routes, over `manager`; `kinds` are what the filter `kind` takes."""
    routes = Blueprint("tasks", __name__, url_prefix="/api/tasks")

    @routes.post("")
    @describe(
        Operation(
            summary="Submit a task",
            description="Answered only after Redis has the record.",
            tag="tasks",
            body="Submission",
            examples={**examples.SUBMISSIONS, **examples.MORE_SUBMISSIONS},
            answers={
                201: Answer(
                    description="It is stored.",
                    shape="Task",
                    headers=("Location", "Preference-Applied"),
                    example=examples.TASK,
                    links=LINKS,
                )
            },
            parameters=(waiting.PREFER,),
            problems={422: ("invalid_task",), 429: ("quota_exceeded",)},
            idempotent=True,
        )
    )
    def submit() -> Response:
        if express.FAULT in request.environ:
            raise request.environ[express.FAULT]
        task, applied = waiting.until_ended(
            manager, seats, manager.submit(body.read_json(), idempotency.promise(stored), audit.account)
        )
        response = stored([task])
        if applied:
            response.headers[waiting.APPLIED] = applied
        return response

    def stored(tasks: Sequence[Task]) -> Response:
        (task,) = tasks
        response = jsonify(representation.task_detail(task, manager.upcoming(task, representation.UPCOMING)))
        response.status_code = 201
        response.headers["Location"] = f"{request.script_root}/api/tasks/{task.id}"
        return response

    filters = (
        *(parameters.LIMIT, parameters.TASK_CURSOR, parameters.STATUS, parameters.TASK_TYPE, parameters.kind(kinds)),
        *(parameters.TAG, parameters.NAME, parameters.OWNER, parameters.CREATED_AFTER, parameters.CREATED_BEFORE),
    )

    @routes.get("")
    @describe(
        Operation(
            summary="List tasks",
            description="Newest first; without code, bodies and results.",
            tag="tasks",
            parameters=filters,
            answers={
                200: Answer(
                    description="A page.",
                    shape="TaskPage",
                    headers=("Link",),
                    example={"tasks": [examples.SUMMARY], "next_cursor": None, "total": 1},
                )
            },
        )
    )
    def listing() -> Response:
        query = body.Query(filters)
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
        return representation.page("tasks", [representation.task_summary(task) for task in tasks], following, total)

    @routes.get("/<task_id>")
    @describe(
        Operation(
            summary="Look at a task",
            tag="tasks",
            parameters=(parameters.IF_NONE_MATCH,),
            answers={
                200: Answer(description="The task.", shape="Task", headers=("ETag",), example=examples.TASK),
                304: Answer(description="It still is as `If-None-Match` has it.", headers=("ETag",)),
            },
        )
    )
    def show(task_id: str) -> Response:
        task = manager.get(task_id)
        return representation.tagged(task, manager.upcoming(task, representation.UPCOMING))

    @routes.post("/<task_id>/stop")
    @describe(
        Operation(
            summary="Stop a task and whatever of it waits or runs",
            description="Stopping twice is fine. Stopping a scheduled task ends its schedule for good.",
            tag="tasks",
            answers={
                200: Answer(description="It is stopped.", shape="Task"),
                202: Answer(description="It is `stopping`: its worker ends the run.", shape="Task"),
            },
            problems={409: ("illegal_move",)},
            idempotent=True,
        )
    )
    def stop(task_id: str) -> tuple[Response, int]:
        task = manager.stop(task_id)
        return jsonify(representation.task_detail(task)), 202 if task.status is Status.STOPPING else 200

    @routes.delete("/<task_id>")
    @describe(
        Operation(
            summary="Delete a task with its runs and results",
            description="A run in progress is ended, and its late result is dropped.",
            tag="tasks",
            answers={204: Answer(description="It is gone.")},
        )
    )
    def delete(task_id: str) -> tuple[str, int]:
        manager.delete(task_id)
        return "", 204

    return routes
