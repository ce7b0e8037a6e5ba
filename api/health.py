"""/api/health: whether the service works, for people, load balancers and start.py."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from api.openapi import Answer, Operation, describe
from tasks import __version__
from tasks.errors import StoreUnavailable
from tasks.task_manager import TaskManager


def blueprint(manager: TaskManager) -> Blueprint:
    """The routes, over `manager`."""
    routes = Blueprint("health", __name__, url_prefix="/api/health")

    @routes.get("")
    @describe(
        Operation(
            summary="Whether the service works",
            tag="health",
            answers={
                200: Answer(
                    description="`healthy`, or `degraded`: no worker or no Beat lives, or code cannot be contained.",
                    shape="Health",
                ),
                503: Answer(description="`unhealthy`: Redis is away.", shape="Health"),
            },
            is_open=True,
            needs_redis=False,
        )
    )
    def health() -> tuple[Response, int]:
        try:
            found = manager.health()
        except StoreUnavailable as error:
            away = {"alive": False, "message": error.message}
            return jsonify({"status": "unhealthy", "redis": away, "version": __version__}), 503
        told = {"status": _status(found), "redis": {"alive": True}, **found, "version": __version__}
        return jsonify(told), 200

    @routes.get("/live")
    @describe(
        Operation(
            summary="Whether the process lives",
            tag="health",
            answers={
                200: Answer(description="It does.", shape="Live"),
            },
            is_open=True,
            needs_redis=False,
        )
    )
    def live() -> Response:
        return jsonify({"status": "alive"})

    @routes.get("/ready")
    @describe(
        Operation(
            summary="Whether tasks can be taken",
            tag="health",
            answers={
                200: Answer(description="They can.", shape="Ready"),
                503: Answer(description="Redis is away.", shape="Ready"),
            },
            is_open=True,
            needs_redis=False,
        )
    )
    def ready() -> tuple[Response, int]:
        try:
            manager.health()
        except StoreUnavailable:
            return jsonify({"status": "unready", "reason": "Redis does not answer."}), 503
        return jsonify({"status": "ready"}), 200

    return routes


def _status(found: dict[str, Any]) -> str:
    sandboxed = all(worker.get("sandbox", {}).get("available", True) for worker in found["workers"])
    return "healthy" if found["workers"] and found["beat"]["alive"] and sandboxed else "degraded"
