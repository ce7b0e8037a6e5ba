"""/api/auth: log in, get new tokens, log out, see who one is, change one's password."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, jsonify

from access.users import Users
from api import audit, identity
from api.fields import Fields
from api.limits import Limits
from api.openapi import Answer, Operation, describe
from api.tokens import Tokens
from tasks.errors import Forbidden, NotAllowed

log = logging.getLogger(__name__)


def blueprint(users: Users, tokens: Tokens, limits: Limits) -> Blueprint:
    """The routes."""
    routes = Blueprint("auth", __name__, url_prefix="/api/auth")
    _add_sessions(routes, users, tokens, limits)
    _add_oneself(routes, users, limits)
    return routes


def _add_sessions(routes: Blueprint, users: Users, tokens: Tokens, limits: Limits) -> None:
    @routes.post("/login")
    @describe(
        Operation(
            summary="Log in",
            tag="auth",
            body="Login",
            answers={200: Answer(description="Tokens.", shape="Tokens")},
            problems={401: ("login_refused",), 422: ("invalid_body",), 429: ("rate_limited", "logins_busy")},
            is_open=True,
        )
    )
    def login() -> Response:
        given = Fields(("username", "password"))
        name, password = given.text("username", 100), given.text("password", 1000)
        given.check()
        audit.about(name)
        limits.count_login(name)
        user, checked = users.check(name, password)
        pair = tokens.log_in(user.name, checked)
        if pair is None:
            raise NotAllowed("The username or the password is wrong.", code="login_refused")
        return jsonify(pair)

    @routes.post("/refresh")
    @describe(
        Operation(
            summary="Get new tokens",
            description="Wants the refresh token as bearer, which is good once: a second time ends its session.",
            tag="auth",
            answers={200: Answer(description="The next tokens.", shape="Tokens")},
            problems={401: ("token_required", "token_invalid", "token_reused")},
            always_needs_token=True,
        )
    )
    def refresh() -> Response:
        sent = identity.credential()
        if sent is None:
            raise NotAllowed("Send the refresh token as: Authorization: Bearer …", code="token_required")
        try:
            user, pair = tokens.refresh(sent)
        except NotAllowed as refusal:
            if refusal.code == "token_reused":
                audit.about(str(refusal.details))
                log.warning("a refresh token of %s came twice; its session was ended", refusal.details)
            raise
        audit.about(user)
        return jsonify(pair)

    @routes.post("/logout")
    @describe(
        Operation(
            summary="Log out",
            description="Ends the session with all its tokens, at once.",
            tag="auth",
            answers={204: Answer(description="They are good for nothing now.")},
            problems={401: ("token_invalid",), 403: ("no_session",)},
        )
    )
    def logout() -> tuple[str, int]:
        session = identity.current().session
        if session is None:
            raise Forbidden("Only who logged in can log out; revoke an API key at /api/keys.", code="no_session")
        tokens.log_out(session)
        return "", 204


def _add_oneself(routes: Blueprint, users: Users, limits: Limits) -> None:
    @routes.get("/me")
    @describe(
        Operation(
            summary="Who asks",
            tag="auth",
            answers={200: Answer(description="The user.", shape="Me")},
            problems={401: ("token_invalid",)},
        )
    )
    def me() -> Response:
        who = identity.current()
        return jsonify(
            {
                "username": who.name,
                "role": who.role,
                "sees_all_tasks": who.sees_all,
                "authenticated_by": "key" if who.key else "session" if who.session else "nothing",
                "key_id": who.key,
            }
        )

    @routes.put("/password")
    @describe(
        Operation(
            summary="Change one's own password",
            description="Ends all sessions of the user, this one too.",
            tag="auth",
            body="PasswordChange",
            answers={204: Answer(description="It is changed; log in again.")},
            problems={
                401: ("login_refused",),
                403: ("no_session",),
                422: ("invalid_body",),
                429: ("rate_limited", "logins_busy"),
            },
        )
    )
    def password() -> tuple[str, int]:
        who = identity.current()
        if who.session is None:
            raise Forbidden("Only who logged in can change his password.", code="no_session")
        given = Fields(("old_password", "new_password"))
        old, new = given.text("old_password", 1000), given.text("new_password", 1000)
        given.check()
        limits.count_login(who.name)
        users.change_own_password(who.name, old, new)
        return "", 204
