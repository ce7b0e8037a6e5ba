"""/api/health: whether the service works, for people, load balancers and start.py."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from tasks import __version__
from tasks.errors import StoreUnavailable
from tasks.task_manager import TaskManager


def blueprint(manager: TaskManager) -> Blueprint:
    """The routes, over `manager`."""
    routes = Blueprint("health", __name__, url_prefix="/api/health")

    @routes.get("")
    def health() -> tuple[Response, int]:
        try:
            found = manager.health()
        except StoreUnavailable as error:
            away = {"alive": False, "message": error.message}
            return jsonify({"status": "unhealthy", "redis": away, "version": __version__}), 503
        told = {"status": _status(found), "redis": {"alive": True}, **found, "version": __version__}
        return jsonify(told), 200

    @routes.get("/live")
    def live() -> Response:
        return jsonify({"status": "alive"})

    @routes.get("/ready")
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
