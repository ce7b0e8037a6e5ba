"""Callbacks as a way in: other owners' logs and secrets, inner addresses, and what receivers are told."""

from __future__ import annotations

import json

from tasks.principal import Role
from tests.make import code_body, end, everything, http_body, take
from tests.security.conftest import Guarded

CALLBACK = {"url": "https://hooks.example.com/tasks"}


def test_another_owners_callbacks_do_not_exist(guarded: Guarded) -> None:
    olga, stefan, reading = guarded.user("olga"), guarded.user("stefan"), guarded.key("olga", Role.VIEWER)
    task = guarded.call("POST", "/api/tasks", olga, json=code_body(callback=CALLBACK)).json["id"]
    end(guarded.api.store, take(guarded.api.store))
    page, again = f"/api/tasks/{task}/callbacks", f"/api/tasks/{task}/callbacks/{task}.1/redeliver"
    before = everything(guarded.api.store)
    assert guarded.call("GET", page, stefan).json["code"] == "task_not_found"
    assert guarded.call("POST", again, stefan).json["code"] == "task_not_found"
    assert guarded.call("POST", again, reading).json["code"] == "role_too_low"
    assert guarded.call("GET", page, reading).json["total"] == 1
    assert {key: value for key, value in before.items() if "callback" in key} == {
        key: value for key, value in everything(guarded.api.store).items() if "callback" in key
    }
    assert guarded.call("POST", again, olga).status_code == 202


def test_each_owner_has_a_secret_of_his_own_and_readers_have_none(guarded: Guarded) -> None:
    olga, stefan, reading = guarded.user("olga"), guarded.user("stefan"), guarded.key("olga", Role.VIEWER)
    secrets = {guarded.call("GET", "/api/callbacks/secret", who).json["secret"] for who in (olga, stefan)}
    assert len(secrets) == 2
    for method in ("GET", "POST"):
        refused = guarded.call(method, "/api/callbacks/secret", reading)
        assert (refused.status_code, refused.json["code"]) == (403, "role_too_low")
        assert guarded.call(method, "/api/callbacks/secret").status_code == 401
    assert guarded.call("POST", "/api/callbacks/secret", olga).json["secret"] not in secrets
    assert guarded.call("GET", "/api/callbacks/secret", stefan).json["secret"] in secrets


def test_no_signing_secret_is_kept_in_redis_or_told_elsewhere(guarded: Guarded) -> None:
    olga = guarded.user("olga")
    secrets = [guarded.call(method, "/api/callbacks/secret", olga).json["secret"] for method in ("GET", "POST")]
    key = {**olga, "Idempotency-Key": "k"}
    secrets += [guarded.call("POST", "/api/callbacks/secret", key).json["secret"] for _ in range(2)]
    assert secrets[2] == secrets[3]
    task = guarded.call("POST", "/api/tasks", olga, json=http_body(callback=CALLBACK)).json
    end(guarded.api.store, take(guarded.api.store))
    told = json.dumps(task) + guarded.call("GET", f"/api/tasks/{task['id']}/callbacks", olga).text
    told += str(everything(guarded.api.store))
    for secret in secrets:
        assert secret.removeprefix("whsec_") not in told
