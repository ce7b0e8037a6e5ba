"""The REST API: parse, one verb of TaskManager, show."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, g, request
from flask.json.provider import JSONProvider

from api import auth, control, cron, errors, health, runs, tasks
from api.openapi import pages
from config.settings import Settings
from tasks.base_tasks import Kind
from tasks.task_manager import TaskManager

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


class Utf8Json(JSONProvider):
    """JSON in UTF-8 as people typed it, without NaN; Flask's own writes escapes, HTTP dates and bare NaN."""

    def dumps(self, obj: Any, **_: Any) -> str:
        """`obj` as JSON. Raises ValueError for NaN and infinity."""
        return json.dumps(obj, ensure_ascii=False, allow_nan=False)

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """The value that `s` holds."""
        return json.loads(s)


def create_app(settings: Settings, manager: TaskManager, kinds: Mapping[str, Kind]) -> Flask:
    """The WSGI application over `manager`; `kinds` are those it knows, by name."""
    app = Flask("api", static_folder=None)
    app.json = Utf8Json(app)
    app.config.update(MAX_CONTENT_LENGTH=settings.max_body_bytes, DEBUG=False, PROPAGATE_EXCEPTIONS=False)
    app.url_map.strict_slashes = False
    app.before_request(_name_request)
    app.after_request(_dress)
    errors.register(app)
    auth.register(app, settings)
    app.register_blueprint(tasks.blueprint(manager, kinds))
    app.register_blueprint(control.blueprint(manager))
    app.register_blueprint(runs.blueprint(manager))
    app.register_blueprint(cron.blueprint(manager))
    app.register_blueprint(health.blueprint(manager))
    app.register_blueprint(pages.blueprint(kinds, needs_token=settings.auth_is_required))
    return app


def _name_request() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _dress(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["X-Request-Id"] = g.get("request_id") or uuid.uuid4().hex
    return response
