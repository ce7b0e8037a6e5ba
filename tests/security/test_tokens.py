"""Tokens and keys: forged, expired, of the wrong sort, used twice, revoked; none of these lets anybody in."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from api.tokens import _key_id, _signing_key
from config import keys
from tasks.principal import Role
from tasks.store import Store
from tests.api import make_api
from tests.security.conftest import PASSWORD, Guarded, bearer


@pytest.fixture
def pair(guarded: Guarded) -> dict[str, Any]:
    """The tokens of the administrator."""
    answer = guarded.log_in("ada")
    assert answer.status_code == 200, answer.text
    return dict(answer.json)


def claims(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def signed(guarded: Guarded, told: dict[str, Any], *, key: str | None = None, **header: Any) -> str:
    """A token with these claims, signed as the service does it."""
    own = _signing_key(keys.jwt_key(guarded.api.settings))
    return jwt.encode(told, own if key is None else key, algorithm="HS256", headers={"kid": _key_id(own), **header})


def unsigned(told: dict[str, Any], algorithm: str = "none") -> str:
    parts = ({"alg": algorithm, "typ": "JWT"}, told)
    return ".".join([base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]) + "."


def refused(guarded: Guarded, headers: dict[str, str], path: str = "/api/auth/me", method: str = "GET") -> str:
    answer = guarded.call(method, path, headers)
    assert answer.status_code == 401, answer.text
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    return str(answer.json["code"])


def test_the_tokens_of_a_login_are_good(guarded: Guarded, pair: dict[str, Any]) -> None:
    me = guarded.call("GET", "/api/auth/me", bearer(pair["access_token"])).json
    assert (me["username"], me["role"], me["authenticated_by"]) == ("ada", "admin", "session")


def test_a_token_signed_as_the_service_signs_is_taken(guarded: Guarded, pair: dict[str, Any]) -> None:
    """So that the refusals below are for what they say."""
    assert guarded.call("GET", "/api/auth/me", bearer(signed(guarded, claims(pair["access_token"])))).status_code == 200


@pytest.mark.parametrize("path", ["/api/tasks", "/api/auth/me", "/api/users", "/api/nowhere", "/nowhere", "/api/keys"])
def test_without_a_token_nothing_is_told_not_even_what_exists(guarded: Guarded, path: str) -> None:
    assert refused(guarded, {}, path) == "token_required"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"Authorization": "Basic YWRhOnJpZ2h0"},
        {"Authorization": "Bearer x"}, {"Authorization": "Bearer tms_x"}, {"Authorization": "Bearer a.b.c"},
        {"Authorization": "Bearer ................"}, {"Authorization": "tms_0000000000000000_" + "a" * 43},
        {"X-API-Key": ""}, {"X-API-Key": "x"}, {"X-API-Key": "tms_0000000000000000_" + "a" * 43},
        {"Authorization": "Bearer " + "a" * 5000}, {"Authorization": "Bearer é.é.é"},
    ],
)  # fmt: skip
def test_what_is_no_token_is_refused(guarded: Guarded, headers: dict[str, str]) -> None:
    assert refused(guarded, headers) in ("token_required", "token_invalid", "key_refused")


def test_a_token_and_a_key_together_are_refused(guarded: Guarded, pair: dict[str, Any]) -> None:
    guarded.user("olga")
    both = {**bearer(pair["access_token"]), **guarded.key("olga")}
    assert refused(guarded, both) == "token_invalid"


def test_a_forged_token_is_refused(guarded: Guarded, pair: dict[str, Any]) -> None:
    told = claims(pair["access_token"])
    head, body, signature = pair["access_token"].split(".")
    forged = [
        signed(guarded, told, key="another key of at least thirty-two characters"),
        signed(guarded, told, key="x" * 64, kid="00000000"),
        unsigned(told), unsigned(told, "None"), unsigned(told, "nOnE"), unsigned(told, "HS256"),
        f"{head}.{body}.", f"{head}.{body}.{signature[:-4]}AAAA", f"{head}.{body}",
        jwt.encode(told, _signing_key(keys.jwt_key(guarded.api.settings)), algorithm="HS512"),
        jwt.encode(told, keys.jwt_key(guarded.api.settings).ljust(32, "x"), algorithm="HS256"),
    ]  # fmt: skip
    for token in forged:
        assert refused(guarded, bearer(token)) == "token_invalid", token


def test_changed_claims_are_refused(guarded: Guarded, pair: dict[str, Any]) -> None:
    guarded.user("olga")
    told = claims(pair["access_token"])
    now = int(time.time())
    wrong: list[dict[str, Any]] = [
        {"exp": now - 1}, {"nbf": now + 600}, {"iss": "somebody else"}, {"sub": "olga"}, {"sub": 1}, {"sid": "other"},
        {"sid": None}, {"type": "refresh"}, {"type": "admin"}, {"iat": now + 600},
    ]  # fmt: skip
    for change in wrong:
        assert refused(guarded, bearer(signed(guarded, {**told, **change}))) == "token_invalid", change
    for name in ("sid", "sub", "iss"):
        without = {key: value for key, value in told.items() if key != name}
        assert refused(guarded, bearer(signed(guarded, without))) == "token_invalid", name


def test_a_role_in_a_token_counts_for_nothing(guarded: Guarded) -> None:
    admin = guarded.user("root2", Role.ADMIN)
    guarded.call("POST", "/api/users", admin, json={"username": "olga", "password": PASSWORD})
    told = claims(guarded.log_in("olga").json["access_token"])
    token = signed(guarded, {**told, "role": "admin", "admin": True, "sees_all": True})
    assert guarded.call("GET", "/api/users", bearer(token)).status_code == 403


def test_refresh_and_access_tokens_do_not_stand_in_for_each_other(guarded: Guarded, pair: dict[str, Any]) -> None:
    assert refused(guarded, bearer(pair["refresh_token"])) == "token_invalid"
    assert refused(guarded, bearer(pair["refresh_token"]), "/api/tasks") == "token_invalid"
    assert refused(guarded, bearer(pair["access_token"]), "/api/auth/refresh", "POST") == "token_invalid"
    key = guarded.key("ada", Role.ADMIN)["X-API-Key"]
    assert refused(guarded, bearer(key), "/api/auth/refresh", "POST") == "token_invalid"


def test_a_refresh_token_that_comes_twice_ends_its_session(guarded: Guarded, pair: dict[str, Any]) -> None:
    second = guarded.call("POST", "/api/auth/refresh", bearer(pair["refresh_token"])).json
    assert guarded.call("GET", "/api/auth/me", bearer(second["access_token"])).status_code == 200
    assert refused(guarded, bearer(pair["refresh_token"]), "/api/auth/refresh", "POST") == "token_reused"
    for token in (pair["access_token"], second["access_token"]):
        assert refused(guarded, bearer(token)) == "token_invalid"
    assert refused(guarded, bearer(second["refresh_token"]), "/api/auth/refresh", "POST") == "token_invalid"


def test_logging_out_ends_every_token_of_the_session_and_no_other(guarded: Guarded, pair: dict[str, Any]) -> None:
    other = guarded.log_in("ADA").json
    assert guarded.call("POST", "/api/auth/logout", bearer(pair["access_token"])).status_code == 204
    assert refused(guarded, bearer(pair["access_token"])) == "token_invalid"
    assert refused(guarded, bearer(pair["refresh_token"]), "/api/auth/refresh", "POST") == "token_invalid"
    assert guarded.call("GET", "/api/auth/me", bearer(other["access_token"])).status_code == 200


def test_a_new_password_ends_all_sessions(guarded: Guarded, pair: dict[str, Any]) -> None:
    other = guarded.log_in("ada").json
    change = {"old_password": PASSWORD, "new_password": "another long pass phrase"}
    assert guarded.call("PUT", "/api/auth/password", bearer(pair["access_token"]), json=change).status_code == 204
    for token in (pair["access_token"], other["access_token"]):
        assert refused(guarded, bearer(token)) == "token_invalid"
    assert guarded.log_in("ada").status_code == 401
    assert guarded.log_in("ada", "another long pass phrase").status_code == 200


def test_whoever_has_a_token_still_needs_the_old_password(guarded: Guarded, pair: dict[str, Any]) -> None:
    change = {"old_password": "wrong", "new_password": "another long pass phrase"}
    assert guarded.call("PUT", "/api/auth/password", bearer(pair["access_token"]), json=change).status_code == 401
    assert guarded.log_in("ada").status_code == 200


def test_being_disabled_or_deleted_takes_effect_at_once(guarded: Guarded, pair: dict[str, Any]) -> None:
    admin = bearer(pair["access_token"])
    guarded.call("POST", "/api/users", admin, json={"username": "Olga", "password": PASSWORD})
    token, key = bearer(guarded.log_in("olga").json["access_token"]), guarded.key("olga")
    assert (
        guarded.call("GET", "/api/tasks", token).status_code
        == guarded.call("GET", "/api/tasks", key).status_code
        == 200
    )
    assert guarded.call("PATCH", "/api/users/olga", admin, json={"disabled": True}).json["disabled"] is True
    assert refused(guarded, token) == "token_invalid"
    assert refused(guarded, key) == "key_refused"
    assert guarded.log_in("olga").status_code == 401
    guarded.call("PATCH", "/api/users/olga", admin, json={"disabled": False})
    assert guarded.call("GET", "/api/tasks", key).status_code == 200
    assert refused(guarded, token) == "token_invalid"
    assert guarded.call("DELETE", "/api/users/olga", admin).status_code == 204
    assert refused(guarded, key) == "key_refused"
    again = guarded.call("POST", "/api/users", admin, json={"username": "olga", "password": PASSWORD})
    assert (again.status_code, again.json["code"]) == (409, "name_former")


def test_a_key_is_good_until_it_expires_or_is_revoked(guarded: Guarded) -> None:
    owner = guarded.user("olga")
    short = guarded.key("olga", expires_at=int(time.time() * 1000) + 60_000)
    assert guarded.call("GET", "/api/tasks", short).status_code == 200
    name = short["X-API-Key"].split("_")[1]
    left = int(guarded.api.store._redis.command("PTTL", f"{{tms}}:key:{name}"))
    assert 0 < left <= 60_000
    guarded.api.store._redis.command("PEXPIRE", f"{{tms}}:key:{name}", 0)
    assert refused(guarded, short) == "key_refused"
    found = guarded.call("GET", "/api/keys", owner).json["keys"]
    assert [key["user"] for key in found] == ["olga"]
    assert guarded.call("DELETE", f"/api/keys/{found[0]['id']}", owner).status_code == 204
    assert refused(guarded, owner) == "key_refused"


def test_a_key_is_kept_as_a_digest_and_shown_once(guarded: Guarded, pair: dict[str, Any], store: Store) -> None:
    made = guarded.call("POST", "/api/keys", bearer(pair["access_token"]), json={"name": "ci", "role": "operator"}).json
    secret = made["key"].rpartition("_")[2]
    for key in store._redis.command("KEYS", "*key*"):
        if store._redis.command("TYPE", key) == "hash":
            assert secret not in str(store._redis.command("HGETALL", key))
    listed = guarded.call("GET", "/api/keys", bearer(pair["access_token"])).text
    assert "tms_" not in listed
    me = guarded.call("GET", "/api/auth/me", {"Authorization": f"bearer {made['key']}"}).json
    assert (me["role"], me["sees_all_tasks"], me["key_id"]) == ("operator", False, made["id"])


def test_the_key_before_is_good_for_old_tokens_and_signs_none(store: Store, tmp_path: Path) -> None:
    old, new = "3f8a1c0e9b7d42566f1e", "e1f66524d7b9e0c1a8f3"
    over = {"auth_required": True, "admin_password": PASSWORD}
    first = Guarded(make_api(store, tmp_path, jwt_secret_key=old, **over))
    pair = first.log_in("admin").json
    first.api.close()
    both = Guarded(make_api(store, tmp_path, jwt_secret_key=new, jwt_secret_key_previous=old, **over))
    assert both.call("GET", "/api/auth/me", bearer(pair["access_token"])).status_code == 200
    pair = both.call("POST", "/api/auth/refresh", bearer(pair["refresh_token"])).json
    both.api.close()
    after = Guarded(make_api(store, tmp_path, jwt_secret_key=new, **over))
    assert after.call("GET", "/api/auth/me", bearer(pair["access_token"])).status_code == 200
    after.api.close()
    other = Guarded(make_api(store, tmp_path, jwt_secret_key=old, **over))
    assert refused(other, bearer(pair["access_token"])) == "token_invalid"
    other.api.close()
