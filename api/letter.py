"""What HTTP asks of every route alike: OPTIONS, and no parameters in the query but those that the call has."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from werkzeug.exceptions import NotFound

from api import body
from api.openapi import Answer, Operation, describe, described
from tasks import __version__


def register(app: Flask) -> None:
    """Look at every request once it is known who sends it, before its view does."""
    app.before_request(_refuse_strange_paths)
    app.before_request(_tell_methods)
    app.before_request(_refuse_strange_parameters)
    app.after_request(_undress)


def blueprint() -> Blueprint:
    """The route of `/`, which only says where to go."""
    routes = Blueprint("root", __name__)

    @routes.get("/")
    @describe(
        Operation(
            summary="Where to go from here",
            tag="description",
            answers={200: Answer(description="Paths of the description and of the health.", shape="Root")},
            is_open=True,
            needs_redis=False,
        )
    )
    def root() -> Response:
        paths = {"docs": "/api/docs", "openapi": "/api/openapi.json", "health": "/api/health", "tasks": "/api/tasks"}
        return jsonify({"name": "Task Management System", "version": __version__, **paths})

    return routes


def _refuse_strange_paths() -> None:
    """Refuse slashes in front, which werkzeug takes for one; all others it takes for what they are."""
    if request.environ["PATH_INFO"].startswith("//"):
        raise NotFound


def _tell_methods() -> Response | None:
    """Answer OPTIONS (RFC 9110 §9.3.7); Flask's own answer calls its empty body HTML."""
    if request.method != "OPTIONS":
        return None
    if request.url_rule is None:
        # The asterisk stands for the server itself. Other paths are answered 404.
        return Response(status=204) if request.environ.get("RAW_URI") == "*" else None
    answer = Response(status=204)
    # One path may have several routes, each with methods of its own.
    answer.allow.update(current_app.make_default_options_response().allow)
    return answer


def _refuse_strange_parameters() -> None:
    """Refuse parameters of calls that have none; the others look at theirs with all that is wrong with them."""
    if not request.args or request.endpoint is None:
        return
    operation = described(current_app.view_functions[request.endpoint])
    if operation is None or not any(each.where == "query" for each in operation.parameters):
        body.Query(()).check()


def _undress(response: Response) -> Response:
    """Leave out the type of a body that there is not."""
    if response.status_code in (204, 304):
        response.headers.pop("Content-Type", None)
    return response
