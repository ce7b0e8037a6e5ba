"""/api/users: who may log in. For administrators."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, url_for

from access.users import Users, faults_of
from api import body, identity
from api.fields import Fields
from api.openapi import Answer, Operation, Parameter, describe
from api.parameters import LIMIT
from tasks.errors import Forbidden
from tasks.moment import show
from tasks.principal import Role
from tasks.store.accounts import User

PAGE = (
    LIMIT,
    Parameter(
        name="cursor",
        description="`next_cursor` of the page before.",
        schema={"type": "string", "minLength": 1, "maxLength": 64},
    ),
)
ONLY_ADMINS = {403: ("role_too_low",)}


def blueprint(users: Users) -> Blueprint:
    """The routes."""
    routes = Blueprint("users", __name__, url_prefix="/api/users")
    routes.before_request(only_admins)

    @routes.post("")
    @describe(
        Operation(
            summary="Add a user",
            tag="users",
            body="NewUser",
            examples={"an operator": {"username": "olga", "password": "a long pass phrase", "role": "operator"}},
            answers={201: Answer(description="The user.", shape="User", headers=("Location",))},
            problems={403: ("role_too_low",), 409: ("name_taken", "name_former"), 422: ("invalid_body",)},
        )
    )
    def create() -> tuple[Response, int, dict[str, str]]:
        given = Fields(("username", "password", "role"))
        name, password = given.text("username", 64), given.text("password", 1000)
        role = given.word("role", Role, default=Role.OPERATOR)
        given.note(faults_of(name, password))
        given.check()
        user = users.create(name, password, Role(role or ""))
        return jsonify(_shown(user)), 201, {"Location": url_for("users.show", username=user.name)}

    @routes.get("")
    @describe(
        Operation(
            summary="List users",
            tag="users",
            parameters=PAGE,
            answers={200: Answer(description="A page.", shape="UserPage")},
            problems=ONLY_ADMINS,
        )
    )
    def listing() -> Response:
        query = body.Query(PAGE)
        limit, after = query.limit(), query.text("cursor")
        query.check()
        found, following = users.list(limit=limit, after=after or "")
        return jsonify({"users": [_shown(user) for user in found], "next_cursor": following})

    @routes.get("/<username>", endpoint="show")
    @describe(
        Operation(
            summary="Look at a user",
            tag="users",
            answers={200: Answer(description="The user.", shape="User")},
            problems={**ONLY_ADMINS, 404: ("not_found",)},
        )
    )
    def show_one(username: str) -> Response:
        return jsonify(_shown(users.get(username)))

    @routes.patch("/<username>")
    @describe(
        Operation(
            summary="Change a user",
            tag="users",
            description="A new password and `disabled` end the user's sessions at once.",
            body="UserChange",
            answers={200: Answer(description="The user.", shape="User")},
            problems={**ONLY_ADMINS, 404: ("not_found",), 409: ("last_admin",), 422: ("invalid_body",)},
        )
    )
    def change(username: str) -> Response:
        given = Fields(("role", "password", "disabled"))
        role = given.word("role", Role) if given.has("role") else None
        password = given.text("password", 1000, required=False) or None
        disabled = given.flag("disabled")
        given.check()
        user = users.change(username, role=Role(role) if role else None, password=password, disabled=disabled)
        return jsonify(_shown(user))

    @routes.delete("/<username>")
    @describe(
        Operation(
            summary="Delete a user with his API keys and secrets",
            tag="users",
            description="His tasks stay, and his name is not given again.",
            answers={204: Answer(description="He is gone.")},
            problems={**ONLY_ADMINS, 404: ("not_found",), 409: ("last_admin",)},
        )
    )
    def delete(username: str) -> tuple[str, int]:
        users.delete(username)
        return "", 204

    return routes


def only_admins() -> None:
    """Raises Forbidden for everybody else."""
    who = identity.current()
    if not who.governs:
        raise Forbidden(f"The role {who.role} does not manage users and reads no audit log.")


def _shown(user: User) -> dict[str, Any]:
    return {
        "username": user.name,
        "role": user.role,
        "disabled": user.disabled,
        "created_at": show(user.created_at),
        "updated_at": show(user.updated_at),
    }
