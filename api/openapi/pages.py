"""/api/openapi.json and /api/docs: the document, and Swagger UI from this machine's own files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, jsonify
from werkzeug.exceptions import NotFound

from api.openapi.document import document
from api.openapi.operation import Answer, Operation, describe
from tasks.base_tasks import Kind

PACKAGE = "flask-openapi3-swagger"
FOLDER = "flask_openapi3_swagger/templates/swagger"
#: What of Swagger UI is served, by the name under /api/docs/.
ASSETS: Mapping[str, tuple[str, str]] = {
    "swagger-ui.css": ("css/swagger-ui.css", "text/css"),
    "swagger-ui-bundle.js": ("js/swagger-ui-bundle.js", "text/javascript"),
}
#: Swagger UI writes styles into its elements and draws its icons from data: addresses; nothing comes from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Task Management System API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""
START = """window.ui = SwaggerUIBundle({
  url: new URL("openapi.json", window.location.href.replace(/\\/$/, "")).href,
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
"""


def blueprint(kinds: Mapping[str, Kind], *, needs_token: bool) -> Blueprint:
    """The routes; `needs_token` is whether calls are refused without a token."""
    routes = Blueprint("openapi", __name__, url_prefix="/api")
    made: dict[str, Any] = {}

    @routes.get("/openapi.json")
    @describe(
        Operation(
            summary="This document",
            tag="description",
            answers={200: Answer(description="OpenAPI 3.1.", shape="OpenApi")},
            is_open=True,
            needs_redis=False,
        )
    )
    def openapi() -> Response:
        if not made:
            made.update(document(current_app, kinds, needs_token=needs_token))
        return jsonify(made)

    @routes.get("/docs")
    @describe(
        Operation(
            summary="Swagger UI",
            tag="description",
            answers={200: Answer(description="A page for people.", media_type="text/html")},
            is_open=True,
            needs_redis=False,
        )
    )
    def docs() -> Response:
        page = Response(PAGE, content_type="text/html; charset=utf-8")
        page.headers["Content-Security-Policy"] = POLICY
        return page

    @routes.get("/docs/<asset>")
    @describe(
        Operation(
            summary="A file of Swagger UI",
            tag="description",
            answers={200: Answer(description="Script or style.", media_type="*/*")},
            problems={404: ("path_not_found",)},
            is_open=True,
            needs_redis=False,
        )
    )
    def file(asset: str) -> Response:
        if asset == "start.js":
            return Response(START, content_type="text/javascript; charset=utf-8")
        if asset not in ASSETS:
            raise NotFound
        name, media_type = ASSETS[asset]
        # Whole or not at all: no ranges and no conditions, which nobody described.
        sent = Response((swagger_folder() / name).read_bytes(), content_type=f"{media_type}; charset=utf-8")
        sent.headers["Cache-Control"] = "public, max-age=86400"
        return sent

    return routes


@cache
def swagger_folder() -> Path:
    """Where the package keeps the files of Swagger UI; it is not imported, only read."""
    return Path(str(metadata.distribution(PACKAGE).locate_file(FOLDER)))
