"""/api/secrets: what tasks need and nobody reads: written here, filled in by workers, never shown."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, url_for

from api.errors import BadRequest
from api.fields import Fields
from api.openapi import Answer, Operation, describe
from tasks.keyring import LEAST, MOST, is_name
from tasks.moment import show
from tasks.task_manager import TaskManager


def blueprint(manager: TaskManager) -> Blueprint:
    """The routes, over `manager`."""
    routes = Blueprint("secrets", __name__, url_prefix="/api/secrets")

    @routes.get("")
    @describe(
        Operation(
            summary="List secrets",
            description="Your own, by name. Their values are never shown.",
            tag="secrets",
            answers={200: Answer(description="The secrets.", shape="SecretList")},
        )
    )
    def listing() -> Response:
        found = manager.secrets()
        return jsonify(
            {
                "secrets": [
                    {
                        "name": secret.name,
                        "created_at": show(secret.created_at),
                        "updated_at": show(secret.updated_at),
                    }
                    for secret in found
                ]
            }
        )

    @routes.put("/<secret_name>")
    @describe(
        Operation(
            summary="Store a secret, or change it",
            description="Tasks of yours refer to it as `{{secret:NAME}}`.",
            tag="secrets",
            body="NewSecret",
            examples={"a token": {"value": "ghp_0123456789"}},
            answers={
                201: Answer(description="It is stored.", headers=("Location",)),
                204: Answer(description="It is changed; runs that start from now on have the new value."),
            },
            problems={422: ("invalid_body",), 429: ("quota_exceeded",)},
        )
    )
    def put(secret_name: str) -> Response:
        given = Fields(("value",))
        value = given.text("value", MOST)
        if value:
            given.require(
                "value",
                len(value) >= LEAST and "\0" not in value and _is_text(value),
                f"must be text, at least {LEAST} characters.",
            )
        given.check()
        if not is_name(secret_name):
            text = "A secret's name is letters, digits and underscores, 64 at most, and does not begin with a digit."
            raise BadRequest(422, "invalid_body", text)
        if manager.put_secret(secret_name, value):
            return Response(status=201, headers={"Location": url_for("secrets.put", secret_name=secret_name)})
        return Response(status=204)

    @routes.delete("/<secret_name>")
    @describe(
        Operation(
            summary="Delete a secret",
            description="Runs that need it end as `secret_missing` from now on.",
            tag="secrets",
            answers={204: Answer(description="It is gone.")},
            problems={404: ("secret_not_found",)},
        )
    )
    def delete(secret_name: str) -> tuple[str, int]:
        manager.delete_secret(secret_name)
        return "", 204

    return routes


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
