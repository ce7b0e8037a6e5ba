"""/api/tasks/{id}/runs: what came of a task, occurrence by occurrence."""

from __future__ import annotations

from flask import Blueprint, Response

from api import body, parameters, representation
from api.openapi import Answer, Operation, describe, examples
from tasks.model import Status
from tasks.task_manager import TaskManager


def blueprint(manager: TaskManager) -> Blueprint:
    """The routes, over `manager`."""
    routes = Blueprint("runs", __name__, url_prefix="/api/tasks/<task_id>/runs")

    choices = (parameters.LIMIT, parameters.RUN_CURSOR, parameters.STATUS)

    @routes.get("")
    @describe(
        Operation(
            summary="List the runs of a task",
            description=(
                "Newest first. `total` is how many are kept; null with a filter. "
                "A page of runs that hold much has fewer than `limit`: about 1 MiB, or one."
            ),
            tag="runs",
            parameters=choices,
            answers={
                200: Answer(
                    description="A page.",
                    shape="RunPage",
                    headers=("Link",),
                    example={"runs": [examples.RUN], "next_cursor": None, "total": 1},
                )
            },
        )
    )
    def listing(task_id: str) -> Response:
        query = body.Query(choices)
        limit, status = query.limit(), query.choice("status", Status)
        below = query.whole("cursor", 0, 1, 10**11)
        query.check()
        runs, following, total = manager.runs(task_id, limit=limit, below=below or None, status=status or "")
        shown = [representation.run_detail(run) for run in runs]
        cursor = None if following is None else str(following)
        return representation.page("runs", shown, cursor, None if status else total)

    @routes.get("/<run_id>")
    @describe(
        Operation(
            summary="Look at a run",
            tag="runs",
            parameters=(parameters.IF_NONE_MATCH,),
            answers={
                200: Answer(description="The run.", shape="Run", headers=("ETag",), example=examples.RUN),
                304: Answer(description="It still is as `If-None-Match` has it.", headers=("ETag",)),
            },
            problems={404: ("run_not_found",)},
        )
    )
    def show(task_id: str, run_id: str) -> Response:
        return representation.tagged_run(manager.run(task_id, run_id))

    return routes
