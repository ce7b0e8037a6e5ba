"""/api/tasks/{id}/callbacks: what became of them; /api/callbacks/secret: what signs them."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from api import body, idempotency, parameters, representation
from api.openapi import Answer, Operation, describe, examples
from tasks.moment import show
from tasks.notice import name_of
from tasks.signature import OVERLAP
from tasks.store.deliveries import DeliveryLog, Generation
from tasks.task_manager import TaskManager


def blueprint(manager: TaskManager) -> Blueprint:
    """The routes, over `manager`."""
    routes = Blueprint("callbacks", __name__, url_prefix="/api")

    choices = (parameters.LIMIT, parameters.RUN_CURSOR)

    @routes.get("/tasks/<task_id>/callbacks")
    @describe(
        Operation(
            summary="What became of a task's callbacks",
            description="One for each run that ended and whose end was to be told, the newest first.",
            tag="callbacks",
            parameters=choices,
            answers={
                200: Answer(
                    description="A page.", shape="DeliveryPage", headers=("Link",), example=examples.DELIVERY_PAGE
                )
            },
        )
    )
    def listing(task_id: str) -> Response:
        query = body.Query(choices)
        limit, below = query.limit(), query.whole("cursor", 0, 1, 10**11)
        query.check()
        found, following, total = manager.deliveries(task_id, limit=limit, below=below or None)
        cursor = None if following is None else str(following)
        return representation.page("callbacks", [_shown(each) for each in found], cursor, total)

    @routes.post("/tasks/<task_id>/callbacks/<run_id>/redeliver")
    @describe(
        Operation(
            summary="Deliver a callback again",
            description="At once, and with as many tries as at first; also one that was delivered or given up. It "
            "goes where the task's callback goes now, under the same `webhook-id`.",
            tag="callbacks",
            answers={202: Answer(description="It is on its way.", shape="Delivery", example=examples.DELIVERY)},
            problems={404: ("callback_not_found",), 409: ("illegal_move",)},
            idempotent=True,
        )
    )
    def redeliver(task_id: str, run_id: str) -> tuple[Response, int]:
        return jsonify(_shown(manager.deliver_again(task_id, run_id, idempotency.receipt()))), 202

    @routes.get("/callbacks/secret")
    @describe(
        Operation(
            summary="The secret that signs your callbacks",
            description="Give it to your receivers, and to nobody else.",
            tag="callbacks",
            answers={200: Answer(description="The secret.", shape="CallbackSecret")},
            problems={403: ("role_too_low",)},
        )
    )
    def secret() -> Response:
        return _told(*manager.callback_secret())

    @routes.post("/callbacks/secret")
    @describe(
        Operation(
            summary="Change the secret that signs your callbacks",
            description="For a day the one before signs beside it, in the same header, so that receivers can be "
            "changed one by one. After a lost answer look with GET instead of changing it again, or send the same "
            "`Idempotency-Key`.",
            tag="callbacks",
            answers={200: Answer(description="The new secret.", shape="CallbackSecret")},
            problems={403: ("role_too_low",)},
            idempotent=True,
            confidential=True,
        )
    )
    def change() -> Response:
        return _told(*manager.change_callback_secret(idempotency.receipt()))

    return routes


def _told(secret: str, generation: Generation) -> Response:
    until = None if generation.since is None else show(generation.since + OVERLAP)
    response = jsonify({"secret": secret, "generation": generation.number, "previous_until": until})
    response.headers["Cache-Control"] = "no-store"
    return response


def _shown(log: DeliveryLog) -> dict[str, Any]:
    return {
        "id": name_of(log.run_id),
        "run_id": log.run_id,
        "type": f"run.{log.run_status}",
        "status": log.status,
        "reason": log.reason,
        "next_try_at": show(log.due_at),
        "tries_made": log.tries_made,
        "tries": [
            {
                "number": each["number"],
                "at": show(each["at"]),
                "duration": each.get("duration"),
                "status_code": each.get("status_code"),
                "error": each.get("error"),
            }
            for each in log.tries
        ],
    }
