"""Nobody becomes more than he is by saying so, in any field, parameter or header of any call."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.principal import Role
from tests.make import code_body
from tests.security.conftest import Guarded
from tests.security.test_letter import Walk

CLAIMS: dict[str, Any] = {
    "role": "admin",
    "roles": ["admin"],
    "owner": "ada",
    "user": "ada",
    "username": "ada",
    "is_admin": True,
    "admin": True,
    "sees_all_tasks": True,
    "permissions": ["*"],
    "sub": "ada",
    "key": "admin",
    "id": "1",
    "__proto__": {"role": "admin"},
}
HEADERS = {
    "X-User": "ada",
    "X-Forwarded-User": "ada",
    "X-Remote-User": "ada",
    "Remote-User": "ada",
    "X-Role": "admin",
    "X-Authenticated-Userid": "ada",
    "X-Original-User": "ada",
    "Cookie": "user=ada; role=admin; session=1; access_token_cookie=x",
}


def standing(guarded: Guarded) -> list[tuple[str, Role, bool]]:
    """Who there is, and as what."""
    return [(user.name, user.role, user.disabled) for user in guarded.api.accounts.users(limit=500)[0]]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_no_field_of_any_call_makes_anybody_more(guarded: Guarded, role: Role) -> None:
    walk = Walk(guarded)
    who = guarded.user("olga", role)
    before, tried = standing(guarded), 0
    for method, path in walk.with_bodies():
        if path.startswith("/api/auth/"):
            continue  # who logs in says who he is; what he may do is not in what he sends
        for name, value in CLAIMS.items():
            body = {**(code_body() if path == "/api/tasks" else {}), name: value}
            answer = guarded.call(method, path, who, json=body, headers={"If-Match": "*"})
            tried += 1
            if answer.status_code < 400:
                assert (method, path) == ("POST", "/api/tasks/validate"), (method, path, name, answer.text)
                assert answer.json["valid"] is False
        assert guarded.call("GET", "/api/auth/me", who).json["role"] == role
    assert tried > 50
    assert standing(guarded) == before


def test_no_parameter_and_no_header_makes_anybody_more(guarded: Guarded) -> None:
    walk = Walk(guarded)
    who = guarded.user("olga", Role.OPERATOR)
    query = "&".join(f"{name}=admin" for name in CLAIMS if name not in ("owner", "user"))
    for route in walk.routes():
        for method in route.operations:
            if route.path in ("/", "/metrics") or route.path.startswith(("/api/docs", "/api/openapi", "/api/health")):
                continue
            plain = guarded.call(method, route.path, who, json={}) if method == "GET" else None
            dressed = guarded.call("GET", route.path, who, headers=HEADERS) if method == "GET" else None
            if plain is not None and dressed is not None:
                assert dressed.status_code == plain.status_code, route.path
                plain.close()
                dressed.close()
            asked = guarded.call(method, f"{route.path}?{query}", who, json={})
            assert asked.status_code in (401, 403, 404, 422), (method, route.path, asked.text)
    me = guarded.call("GET", "/api/auth/me", who, headers=HEADERS).json
    assert (me["username"], me["role"], me["sees_all_tasks"]) == ("olga", "operator", False)


def test_who_may_not_see_all_does_not_by_asking_for_others(guarded: Guarded) -> None:
    walk = Walk(guarded)
    who = guarded.user("olga", Role.OPERATOR)
    for path in ("/api/tasks?owner=ada", "/api/keys?user=ada", "/api/tasks/export", "/api/secrets"):
        answer = guarded.call("GET", path, who)
        assert walk.known["task_id"] not in answer.text
        assert walk.known["key_id"] not in answer.text
        assert "TOKEN" not in answer.text
