"""Users, roles, passwords, the audit log and the limits of logins: what each refuses, and what it tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from access import passwords
from access.passwords import Passwords
from access.users import Users
from config.strength import password_fault
from tasks import principal
from tasks.errors import NotAllowed
from tasks.principal import Role
from tasks.store import Store
from tasks.store.accounts import Accounts
from tests.api import make_api
from tests.make import http_body, make_settings
from tests.security.conftest import PASSWORD, Guarded, bearer


@pytest.fixture
def admin(guarded: Guarded) -> dict[str, str]:
    return guarded.user("root2", Role.ADMIN)


# --- who may come in ---------------------------------------------------------------------------------------------


def test_the_first_administrator_is_the_one_of_the_settings_and_only_the_first(guarded: Guarded) -> None:
    assert guarded.log_in("mallory").status_code == 401
    assert guarded.log_in("ada", "wrong").status_code == 401
    assert guarded.api.accounts.users(limit=10)[0] == []
    tokens = guarded.log_in("Ada").json
    assert guarded.call("GET", "/api/auth/me", bearer(tokens["access_token"])).json["username"] == "ada"
    assert [user.name for user in guarded.api.accounts.users(limit=10)[0]] == ["ada"]


def test_the_settings_make_no_administrator_where_there_is_one(guarded: Guarded) -> None:
    guarded.user("root2", Role.ADMIN)
    assert guarded.log_in("ada").status_code == 401
    assert guarded.api.accounts.user("ada") is None


@pytest.mark.parametrize(
    ("name", "password"),
    [("nobody", PASSWORD), ("olga", "wrong"), ("olga\n", PASSWORD), ("", PASSWORD), ("ol" * 40, "x"), ("é", "è" * 999)],
)
def test_a_login_does_the_same_work_for_names_that_exist_and_those_that_do_not(
    store: Store, tmp_path: Path, name: str, password: str
) -> None:
    hasher = Passwords()
    users = Users(Accounts(store.connection), make_settings(tmp_path), hasher)
    users.create("olga", PASSWORD, Role.OPERATOR)
    with pytest.raises(NotAllowed):
        users.check("warm", "up")
    before = hasher.checked
    with pytest.raises(NotAllowed) as refusal:
        users.check(name, password)
    assert hasher.checked == before + 1
    assert refusal.value.code == "login_refused"
    assert refusal.value.message == "The username or the password is wrong."


def test_a_disabled_user_is_refused_like_one_who_does_not_exist(store: Store, tmp_path: Path) -> None:
    hasher = Passwords()
    users = Users(Accounts(store.connection), make_settings(tmp_path), hasher)
    users.create("olga", PASSWORD, Role.OPERATOR)
    users.change("olga", disabled=True)
    with pytest.raises(NotAllowed, match="wrong"):
        users.check("olga", PASSWORD)


def test_a_password_under_an_older_hash_is_hashed_anew(store: Store, tmp_path: Path) -> None:
    from argon2 import PasswordHasher

    accounts = Accounts(store.connection)
    users = Users(accounts, make_settings(tmp_path), Passwords())
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    accounts.create_user("olga", Role.OPERATOR, weak)
    _, kept = users.check("olga", PASSWORD)
    assert kept != weak
    assert "m=65536" in kept
    assert users.check("olga", PASSWORD)[1] == kept


def test_passwords_are_hashed_two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.errors import TooMuch

    monkeypatch.setattr(passwords, "PATIENCE", 0.05)
    hasher = Passwords()
    with hasher._turn(), hasher._turn(), pytest.raises(TooMuch) as busy:
        hasher.hash("x")
    assert busy.value.retry_after
    assert hasher.hash("x").startswith("$argon2id$")


@pytest.mark.parametrize(
    "password", ["short", "aaaaaaaaaaaaaaaa", "password1234", "olga-olga-olga", "x" * 257, "Administrator"]
)
def test_weak_passwords_are_refused(password: str) -> None:
    assert password_fault(password, "olga-olga-olga")
    assert password_fault(PASSWORD, "olga") is None


# --- logins are limited ------------------------------------------------------------------------------------------


def test_logins_are_limited_before_anything_is_hashed(store: Store, tmp_path: Path) -> None:
    api = make_api(store, tmp_path, auth_required=True, admin_password=PASSWORD, login_rate_limit="3/minute")
    guarded = Guarded(api)
    api.accounts.create_user("olga", Role.OPERATOR, Passwords().hash(PASSWORD))
    statuses = [guarded.log_in("olga", "wrong").status_code for _ in range(3)]
    assert statuses == [401, 401, 401]
    answer = guarded.log_in("olga")
    assert (answer.status_code, answer.json["code"]) == (429, "rate_limited")
    assert 0 < int(answer.headers["Retry-After"]) <= 20
    assert answer.headers["RateLimit-Policy"] == '"default";q=3;w=60'
    assert answer.headers["RateLimit"].startswith('"default";r=0;t=')
    assert guarded.log_in("somebody else").status_code == 429
    api.close()


def test_many_addresses_do_not_help_against_one_name(store: Store, tmp_path: Path) -> None:
    api = make_api(
        store, tmp_path, auth_required=True, admin_password=PASSWORD, login_rate_limit="2/minute", trusted_proxies=1
    )
    guarded = Guarded(api)

    def attempt(name: str, number: int) -> int:
        headers = {"X-Forwarded-For": f"8.8.8.8, 9.9.9.{number}"}
        sent = {"username": name, "password": "wrong"}
        return int(guarded.call("POST", "/api/auth/login", headers=headers, json=sent).status_code)

    assert [attempt("Olga" if number % 2 else "olga", number) for number in range(8)] == [401] * 6 + [429] * 2
    assert attempt("other", 200) == 401
    api.close()


def test_without_a_trusted_proxy_nobody_chooses_his_address(store: Store, tmp_path: Path) -> None:
    api = make_api(store, tmp_path, auth_required=True, admin_password=PASSWORD, login_rate_limit="2/minute")
    guarded = Guarded(api)
    for header in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP", "True-Client-IP"):
        guarded.call(
            "POST", "/api/auth/login", headers={header: "9.9.9.9"}, json={"username": header, "password": "wrong"}
        )
    assert guarded.log_in("another").status_code == 429
    api.close()


def test_requests_are_limited_for_each_key_and_each_address(store: Store, tmp_path: Path) -> None:
    api = make_api(store, tmp_path, auth_required=True, rate_limit="4/minute", trusted_proxies=1)
    guarded = Guarded(api)
    olga, second = guarded.user("olga"), None
    second = guarded.key("olga")

    def ask(who: dict[str, str] | None, address: str) -> int:
        answer = guarded.call("GET", "/api/tasks", who, headers={"X-Forwarded-For": address})
        return int(answer.status_code)

    assert [ask(olga, f"9.9.9.{number}") for number in range(5)] == [200] * 4 + [429]
    assert ask(second, "9.9.8.1") == 200
    assert [ask(None, "9.9.7.7") for _ in range(5)] == [401] * 4 + [429]
    assert [ask({"X-API-Key": "tms_bad"}, f"2001:db8:1:2::{number}") for number in range(5)] == [401] * 4 + [429]
    assert ask(second, "2001:db8:1:3::1") == 200
    assert guarded.call("GET", "/api/health", headers={"X-Forwarded-For": "9.9.7.7"}).status_code == 200
    api.close()


# --- role escalation through every field -------------------------------------------------------------------------

ESCALATIONS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/api/users", {"username": "mallory", "password": PASSWORD, "role": "admin"}),
    ("GET", "/api/users", None),
    ("GET", "/api/users/olga", None),
    ("PATCH", "/api/users/olga", {"role": "admin"}),
    ("PATCH", "/api/users/root2", {"password": "a new long pass phrase"}),
    ("PATCH", "/api/users/root2", {"disabled": True}),
    ("DELETE", "/api/users/root2", None),
    ("GET", "/api/audit", None),
    ("GET", "/api/keys?user=root2", None),
]


@pytest.mark.parametrize(("method", "path", "sent"), ESCALATIONS)
@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER])
def test_only_administrators_govern(
    guarded: Guarded, admin: dict[str, str], method: str, path: str, sent: dict[str, Any] | None, role: Role
) -> None:
    olga = guarded.user("olga", role)
    answer = guarded.call(method, path, olga, **({} if sent is None else {"json": sent}))
    assert (answer.status_code, answer.json["code"]) == (403, "role_too_low")
    assert guarded.call("GET", "/api/users/olga", admin).json["role"] == role
    assert guarded.call("GET", "/api/users/mallory", admin).status_code == 404


def test_a_key_cannot_be_more_than_its_owner(guarded: Guarded, admin: dict[str, str]) -> None:
    guarded.call("POST", "/api/users", admin, json={"username": "olga", "password": PASSWORD})
    olga = bearer(guarded.log_in("olga").json["access_token"])
    for fields in (
        {"name": "k", "role": "admin"},
        {"name": "k", "user": "root2"},
        {"name": "k", "owner": "root2"},
        {"name": "k", "sees_all": True},
        {"name": "k", "role": ["admin"]},
        {"name": "k", "role": "Admin"},
        {"name": "k", "role": None},
    ):
        assert guarded.call("POST", "/api/keys", olga, json=fields).status_code == 422, fields
    made = guarded.call("POST", "/api/keys", olga, json={"name": "k", "role": "viewer"}).json
    key = {"X-API-Key": made["key"]}
    assert guarded.call("GET", "/api/auth/me", key).json["sees_all_tasks"] is False
    again = guarded.call("POST", "/api/keys", key, json={"name": "k2"})
    assert (again.status_code, again.json["code"]) == (403, "key_cannot_make_keys")


def test_nobody_revokes_the_key_of_another(guarded: Guarded, admin: dict[str, str]) -> None:
    olga, stefan = guarded.user("olga"), guarded.user("stefan")
    hers = guarded.call("GET", "/api/keys", olga).json["keys"][0]["id"]
    assert guarded.call("DELETE", f"/api/keys/{hers}", stefan).status_code == 404
    assert guarded.call("GET", "/api/tasks", olga).status_code == 200
    assert guarded.call("DELETE", f"/api/keys/{hers}", admin).status_code == 204


def test_a_role_that_is_lowered_is_lower_at_once_also_for_keys(guarded: Guarded, admin: dict[str, str]) -> None:
    boss = guarded.user("boss", Role.ADMIN)
    assert guarded.call("GET", "/api/users", boss).status_code == 200
    guarded.call("PATCH", "/api/users/boss", admin, json={"role": "operator"})
    assert guarded.call("GET", "/api/users", boss).status_code == 403
    assert guarded.call("GET", "/api/auth/me", boss).json["sees_all_tasks"] is False
    guarded.call("PATCH", "/api/users/boss", admin, json={"role": "viewer"})
    assert guarded.call("POST", "/api/tasks", boss, json=http_body()).json["code"] == "role_too_low"


@pytest.mark.parametrize(
    ("method", "sent"), [("DELETE", None), ("PATCH", {"role": "operator"}), ("PATCH", {"disabled": True})]
)
def test_the_last_administrator_stays(
    guarded: Guarded, admin: dict[str, str], method: str, sent: dict[str, Any] | None
) -> None:
    answer = guarded.call(method, "/api/users/root2", admin, **({} if sent is None else {"json": sent}))
    assert (answer.status_code, answer.json["code"]) == (409, "last_admin")
    assert guarded.call("GET", "/api/users", admin).status_code == 200


@pytest.mark.parametrize(
    "name", ["anonymous", "Anonymous", "system", "", "a b", "../x", "x" * 65, ".x", "a\n", "é", "a:b", "a*", "a/b"]
)
def test_names_that_mean_something_else_are_refused(guarded: Guarded, admin: dict[str, str], name: str) -> None:
    answer = guarded.call("POST", "/api/users", admin, json={"username": name, "password": PASSWORD})
    assert answer.status_code == 422
    assert {fault["pointer"] for fault in answer.json["errors"]} == {"/username"}


def test_users_are_listed_in_pages(guarded: Guarded, admin: dict[str, str]) -> None:
    for name in ("a1", "b2", "c3", "d4"):
        guarded.user(name)
    first = guarded.call("GET", "/api/users?limit=3", admin).json
    second = guarded.call("GET", f"/api/users?limit=3&cursor={first['next_cursor']}", admin).json
    names = [user["username"] for user in first["users"] + second["users"]]
    assert names == ["a1", "b2", "c3", "d4", "root2"]
    assert second["next_cursor"] is None
    assert "password" not in str(first)


# --- the audit log -----------------------------------------------------------------------------------------------


def test_every_change_and_every_refusal_is_noted_without_secrets(guarded: Guarded, admin: dict[str, str]) -> None:
    olga = guarded.user("olga")
    task = guarded.call("POST", "/api/tasks", olga, json=http_body(headers={"X-Api-Token": "s3cr3t-of-olga"})).json
    guarded.call("POST", f"/api/tasks/{task['id']}/stop", olga, headers={"X-Request-Id": "my-request"})
    guarded.call("GET", "/api/tasks", olga)
    guarded.call("GET", "/api/users", olga)
    guarded.log_in("olga", "guess-of-mallory")
    guarded.log_in("evil\nname\x1b[31m", "guess-of-mallory")
    guarded.call("GET", "/api/tasks", bearer("not.a.token"))
    guarded.call("POST", "/api/users", admin, json={"username": "new", "password": PASSWORD})
    page = guarded.call("GET", "/api/audit", admin)
    told = [(entry["who"], entry["what"], entry["target"], entry["status"]) for entry in page.json["entries"]]
    assert told == [
        ("root2", "POST /api/users", "new", 201),
        ("", "GET /api/tasks", "", 401),
        ("", "POST /api/auth/login", "evil?name?[31m", 401),
        ("", "POST /api/auth/login", "olga", 401),
        ("olga", "GET /api/users", "", 403),
        ("olga", "POST /api/tasks/<task_id>/stop", task["id"], 200),
        ("olga", "POST /api/tasks", task["id"], 201),
    ]
    stop = page.json["entries"][5]
    assert (stop["from"], stop["request_id"], stop["role"]) == ("127.0.0.1", "my-request", "operator")
    assert len(stop["key"]) == 16
    assert stop["at"].endswith("Z")
    for secret in ("s3cr3t-of-olga", "guess-of-mallory", PASSWORD, olga["X-API-Key"], "not.a.token"):
        assert secret not in page.text


def test_tasks_and_their_entry_are_stored_in_one_step(store: Store, tmp_path: Path) -> None:
    api = make_api(store, tmp_path, auth_required=True, quota_tasks=3)
    guarded = Guarded(api)
    admin, olga = guarded.user("root2", Role.ADMIN), guarded.user("olga")
    store.connection.command("CONFIG", "RESETSTAT")
    first = guarded.call("POST", "/api/tasks", olga, json=http_body())
    calls = store.connection.command("INFO", "commandstats")
    # One script for the API key, one for all of the rest.
    assert (calls["cmdstat_evalsha"]["calls"], calls["cmdstat_xadd"]["calls"]) == (2, 1)
    batch = guarded.call("POST", "/api/tasks/batch", olga, json={"tasks": [http_body(), http_body()]})
    assert (first.status_code, batch.status_code) == (201, 201)
    assert guarded.call("POST", "/api/tasks", olga, json=http_body()).json["code"] == "quota_exceeded"
    assert guarded.call("POST", "/api/tasks", olga, json={}).status_code == 422
    entries = guarded.call("GET", "/api/audit", admin).json["entries"]
    assert [(entry["what"], entry["target"], entry["status"]) for entry in entries] == [
        ("POST /api/tasks", "", 429),
        ("POST /api/tasks/batch", "", 201),
        ("POST /api/tasks", first.json["id"], 201),
    ]
    api.close()


def test_the_audit_log_is_read_in_pages_and_capped(store: Store, tmp_path: Path) -> None:
    api = make_api(store, tmp_path, auth_required=True, audit_length=100)
    guarded = Guarded(api)
    admin = guarded.user("root2", Role.ADMIN)
    for number in range(450):
        api.accounts.note({"who": str(number), "status": "200"}, keep=100)
    ids: list[str] = []
    cursor = ""
    while cursor is not None:
        page = guarded.call("GET", f"/api/audit?limit=40{cursor and f'&cursor={cursor}'}", admin).json
        ids += [entry["who"] for entry in page["entries"]]
        cursor = page["next_cursor"]
    assert ids[:2] == ["449", "448"]
    assert len(ids) == len(set(ids))
    assert 100 <= len(ids) < 350
    for wrong in ("x", "0-0", "1", "-", "1-0-0", "99999999999999999-0"):
        assert guarded.call("GET", f"/api/audit?cursor={wrong}", admin).status_code == 422
    assert guarded.call("GET", "/api/audit?cursor=1-0", admin).json["entries"] == []
    api.close()


def test_a_deleted_user_leaves_his_tasks_and_nothing_else(guarded: Guarded, admin: dict[str, str]) -> None:
    olga = guarded.user("olga")
    task = guarded.call("POST", "/api/tasks", olga, json=http_body()).json
    guarded.call("DELETE", "/api/users/olga", admin)
    assert guarded.call("GET", f"/api/tasks/{task['id']}", admin).json["owner"] == "olga"
    left = set(guarded.api.store._redis.command("KEYS", "*user*"))
    assert not any("user:olga" in key for key in left)


def test_anonymous_service_needs_no_token_and_takes_one(store: Store, tmp_path: Path) -> None:
    api = make_api(store, tmp_path)
    guarded = Guarded(api)
    mine = guarded.call("POST", "/api/tasks", json=http_body()).json
    assert mine["owner"] == principal.NOBODY
    olga = guarded.user("olga")
    assert guarded.call("GET", f"/api/tasks/{mine['id']}", olga).status_code == 404
    assert guarded.call("GET", "/api/tasks", bearer("wrong")).status_code == 401
    hers = guarded.call("POST", "/api/tasks", olga, json=http_body()).json
    assert hers["owner"] == "olga"
    assert guarded.call("GET", "/api/tasks").json["total"] == 2
    api.close()


# --- what is wrong with a body is told at once -------------------------------------------------------------------


def faults(answer: Any) -> dict[str, str]:
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_body"), answer.text
    return {fault["pointer"]: fault["code"] for fault in answer.json["errors"]}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, {"/username": "missing", "/password": "missing"}),
        ({"username": "ada"}, {"/password": "missing"}),
        ({"username": 1, "password": None}, {"/username": "wrong_type", "/password": "wrong_type"}),
        ({"username": "", "password": "x" * 1001}, {"/username": "too_small", "/password": "too_large"}),
        (
            {"username": "a", "password": "b", "pass/word": 1},
            {"/pass~1word": "unknown_field"},
        ),
    ],
)
def test_a_login_that_lacks_something_says_what(guarded: Guarded, body: dict[str, Any], told: dict[str, str]) -> None:
    assert faults(guarded.call("POST", "/api/auth/login", json=body)) == told


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, {"/username": "missing", "/password": "missing"}),
        (
            {"username": "anonymous", "password": "short", "role": "king", "x": 1},
            {"/username": "invalid", "/password": "too_weak", "/role": "invalid", "/x": "unknown_field"},
        ),
        ({"username": "a b", "password": 1}, {"/username": "invalid", "/password": "wrong_type"}),
    ],
)
def test_a_new_user_is_refused_with_every_fault(guarded: Guarded, body: dict[str, Any], told: dict[str, str]) -> None:
    ada = bearer(guarded.log_in("ada").json["access_token"])
    assert faults(guarded.call("POST", "/api/users", ada, json=body)) == told
