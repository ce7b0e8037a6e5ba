"""/api/keys: API keys for programs. Each is shown once."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from access.keys import ApiKeys
from api import audit, body, identity
from api.fields import Fields
from api.openapi import Answer, Operation, Parameter, describe
from api.users import only_admins
from tasks.moment import show
from tasks.principal import Role
from tasks.store.accounts import ApiKey

USER = Parameter(
    name="user",
    description="Whose keys; for administrators. One's own where it is not said.",
    schema={"type": "string", "minLength": 1, "maxLength": 64},
)


def blueprint(keys: ApiKeys) -> Blueprint:
    """The routes."""
    routes = Blueprint("keys", __name__, url_prefix="/api/keys")

    @routes.post("")
    @describe(
        Operation(
            summary="Make an API key",
            tag="keys",
            description="Of whoever asks, with his role or less. The key itself is in this answer and nowhere else.",
            body="NewKey",
            examples={"a key that only reads": {"name": "dashboard", "role": "viewer"}},
            answers={201: Answer(description="The key.", shape="ShownKey")},
            problems={403: ("key_cannot_make_keys",), 409: ("no_user", "too_many_keys"), 422: ("invalid_body",)},
        )
    )
    def create() -> tuple[Response, int]:
        who = identity.current()
        given = Fields(("name", "role", "expires_at"))
        name, role = given.label("name", 100), given.word("role", Role, default=who.role)
        expires_at = given.moment("expires_at")
        given.check()
        key, secret = keys.create(who, name=name, role=Role(role or ""), expires_at=expires_at)
        audit.about(key.id)
        return jsonify({**_shown(key), "key": secret}), 201

    @routes.get("")
    @describe(
        Operation(
            summary="List API keys",
            tag="keys",
            parameters=(USER,),
            answers={200: Answer(description="The keys, oldest first.", shape="KeyList")},
            problems={403: ("role_too_low",)},
        )
    )
    def listing() -> Response:
        query = body.Query((USER,))
        user = query.text("user")
        query.check()
        if user is not None and user != identity.current().name:
            only_admins()
        found = keys.list(user or identity.current().name)
        return jsonify({"keys": [_shown(key) for key in found]})

    @routes.delete("/<key_id>")
    @describe(
        Operation(
            summary="Revoke an API key",
            tag="keys",
            answers={204: Answer(description="It is good for nothing now.")},
            problems={404: ("not_found",)},
        )
    )
    def delete(key_id: str) -> tuple[str, int]:
        keys.delete(identity.current(), key_id)
        return "", 204

    return routes


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "user": key.user,
        "role": key.role,
        "created_at": show(key.created_at),
        "expires_at": show(key.expires_at),
        "last_used_at": show(key.used_at),
    }
