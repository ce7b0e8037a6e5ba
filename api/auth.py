"""/api/auth: who may use the API, where AUTH_REQUIRED says that it matters."""

from __future__ import annotations

import hmac
import logging
from datetime import timedelta

from flask import Blueprint, Flask, Response, jsonify, request
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    get_jwt_identity,
    verify_jwt_in_request,
)
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import PyJWTError

from api import body
from api.openapi import Answer, Operation, describe
from config import keys
from config.settings import Settings
from tasks.errors import NotAllowed

log = logging.getLogger(__name__)

#: Open to everybody, with or without a token.
OPEN = ("/api/health", "/api/auth/login", "/api/openapi.json", "/api/docs")


def register(app: Flask, settings: Settings) -> None:
    """Require a token for everything under /api but OPEN, if the settings say so, and add login and refresh."""
    app.config.update(
        JWT_SECRET_KEY=keys.jwt_key(settings),
        JWT_ALGORITHM="HS256",
        JWT_TOKEN_LOCATION=["headers"],
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(seconds=settings.jwt_access_seconds),
        JWT_REFRESH_TOKEN_EXPIRES=timedelta(seconds=settings.jwt_refresh_seconds),
    )
    JWTManager(app)
    app.register_blueprint(_blueprint(settings))
    if settings.auth_is_required:
        app.before_request(_require_token)


def _require_token() -> None:
    open_here = any(request.path == path or request.path.startswith(f"{path}/") for path in OPEN)
    if open_here or not request.path.startswith("/api"):
        return
    _identity(refresh=request.path == "/api/auth/refresh")


def _identity(*, refresh: bool) -> str:
    try:
        verify_jwt_in_request(refresh=refresh)
    except (JWTExtendedException, PyJWTError):
        text = "Log in at /api/auth/login and send the token as: Authorization: Bearer …"
        raise NotAllowed(text, code="token_required") from None
    return str(get_jwt_identity())


def _blueprint(settings: Settings) -> Blueprint:
    routes = Blueprint("auth", __name__, url_prefix="/api/auth")

    @routes.post("/login")
    @describe(
        Operation(
            summary="Log in",
            tag="auth",
            body="Login",
            answers={200: Answer(description="Tokens.", shape="Tokens")},
            problems={401: ("login_refused",), 422: ("invalid_body",)},
            is_open=True,
            needs_redis=False,
        )
    )
    def login() -> Response:
        given = body.fields(body.read_json(), {"username": 100, "password": 1000})
        expected = settings.admin_password.get_secret_value() if settings.admin_password else None
        right_name = hmac.compare_digest(given["username"].encode(), settings.admin_username.encode())
        right_password = expected is not None and hmac.compare_digest(given["password"].encode(), expected.encode())
        if not (right_name and right_password):
            log.warning("login refused from %s", request.remote_addr)
            raise NotAllowed("The username or the password is wrong.", code="login_refused")
        return jsonify(_tokens(settings, settings.admin_username, with_refresh=True))

    @routes.post("/refresh")
    @describe(
        Operation(
            summary="Get a new access token",
            description="Wants the refresh token as bearer.",
            tag="auth",
            answers={200: Answer(description="A new access token.", shape="Tokens")},
            problems={401: ("token_required",)},
            always_needs_token=True,
            needs_redis=False,
        )
    )
    def refresh() -> Response:
        return jsonify(_tokens(settings, _identity(refresh=True), with_refresh=False))

    @routes.get("/me")
    @describe(
        Operation(
            summary="Whose token it is",
            tag="auth",
            answers={200: Answer(description="The user.", shape="Me")},
            problems={401: ("token_required",)},
            always_needs_token=True,
            needs_redis=False,
        )
    )
    def me() -> Response:
        return jsonify({"username": _identity(refresh=False), "role": "admin"})

    return routes


def _tokens(settings: Settings, username: str, *, with_refresh: bool) -> dict[str, str | int]:
    tokens: dict[str, str | int] = {
        "access_token": create_access_token(username),
        "token_type": "Bearer",
        "expires_in": settings.jwt_access_seconds,
    }
    if with_refresh:
        tokens["refresh_token"] = create_refresh_token(username)
    return tokens
