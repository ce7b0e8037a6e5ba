"""The REST API: parse, one verb of TaskManager, show."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Response, g, request
from flask.json.provider import JSONProvider
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter

from access.keys import ApiKeys
from access.passwords import Passwords
from access.users import Users
from api import (
    audit,
    auth,
    batch,
    callbacks,
    control,
    cron,
    errors,
    events,
    express,
    health,
    idempotency,
    keys,
    letter,
    metrics,
    runs,
    secrets,
    stats,
    tasks,
    transfer,
    users,
)
from api.browser import Browsers
from api.identity import Gate
from api.limits import Limits
from api.openapi import pages
from api.seats import Seats
from api.tokens import Tokens
from config.settings import Settings
from tasks.base_tasks import Kind
from tasks.store.accounts import Accounts
from tasks.task_manager import TaskManager

#: Made once: json.dumps makes one for each call that wants anything but its defaults.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


class Application(Flask):
    """Flask without what we have no use for."""

    #: What answers the commonest call before Flask is asked.
    express: express.Express | None = None

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function as it is: none of ours is a coroutine, and Flask would look at each with each request."""
        return func


class Utf8Json(JSONProvider):
    """JSON in UTF-8 as people typed it, without NaN; Flask's own writes escapes, HTTP dates and bare NaN."""

    def dumps(self, obj: Any, **_: Any) -> str:
        """`obj` as JSON. Raises ValueError for NaN and infinity."""
        return _ENCODER.encode(obj)

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """The value that `s` holds."""
        return json.loads(s)


class _PathPart(BaseConverter):
    """A part of a path that stands for anything, such as an id, but for the names of other calls beside it."""

    regex = rf"(?!(?:{'|'.join(batch.NAMES)})$)[^/]+"
    part_isolating = True


def create_app(
    settings: Settings,
    manager: TaskManager,
    kinds: Mapping[str, Kind],
    accounts: Accounts,
    *,
    leaving: Callable[[], bool] = lambda: False,
) -> Application:
    """The WSGI application over `manager`, which asks api/identity.py who asks; `kinds` are those it knows, by name.

    `leaving` says whether the process is about to end.
    """
    total = settings.api_threads // 2
    each = max(1, total // 2) if settings.auth_is_required else total
    seats = Seats(total, each=each, leaving=leaving)
    app = Application("api", static_folder=None)
    app.json = Utf8Json(app)
    app.config.update(MAX_CONTENT_LENGTH=settings.max_body_bytes, DEBUG=False, PROPAGATE_EXCEPTIONS=False)
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    app.before_request(_name_request)
    app.after_request(_dress)
    errors.register(app)
    app.url_map.converters["default"] = _PathPart
    _guard(app, settings, manager, accounts)
    letter.register(app)
    idempotency.register(app, manager)
    app.register_blueprint(letter.blueprint())
    app.register_blueprint(tasks.blueprint(manager, kinds, seats))
    app.register_blueprint(batch.blueprint(manager))
    app.register_blueprint(transfer.blueprint(manager))
    app.register_blueprint(control.blueprint(manager))
    app.register_blueprint(runs.blueprint(manager))
    app.register_blueprint(events.blueprint(manager, seats))
    app.register_blueprint(cron.blueprint(manager))
    app.register_blueprint(secrets.blueprint(manager))
    app.register_blueprint(callbacks.blueprint(manager))
    app.register_blueprint(health.blueprint(manager))
    app.register_blueprint(stats.blueprint(manager))
    app.register_blueprint(metrics.blueprint(manager))
    app.register_blueprint(pages.blueprint(kinds, needs_token=settings.auth_is_required))
    return app


def _guard(app: Application, settings: Settings, manager: TaskManager, accounts: Accounts) -> None:
    """What stands before every view, in this order; and the routes of those who may come in."""
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=settings.trusted_proxies)  # type: ignore[method-assign]
    api_keys, tokens = ApiKeys(accounts), Tokens(app, settings, accounts)
    members, limits = Users(accounts, settings, Passwords()), Limits(accounts, settings)
    browsers = Browsers(settings)
    browsers.register(app)
    app.express = express.lane(manager, settings, browsers, app.json.dumps)
    limits.register(app, Gate(tokens, api_keys, required=settings.auth_is_required))
    audit.register(app, accounts, settings)
    app.register_blueprint(auth.blueprint(members, tokens, limits))
    app.register_blueprint(users.blueprint(members))
    app.register_blueprint(keys.blueprint(api_keys))
    app.register_blueprint(audit.blueprint(accounts))


def _name_request() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if express.REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _dress(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id") or uuid.uuid4().hex
    return response
