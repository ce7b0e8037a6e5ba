"""Secrets: sealed in Redis, filled in where a task is done, and shown nowhere."""

from __future__ import annotations

import json
import logging
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

from config.settings import Settings
from tasks import confidential
from tasks.base_tasks import build_kinds
from tasks.confidential import MASK, Mask
from tasks.keyring import MOST_SECRETS, Keyring
from tasks.store import Store
from tasks.vault import Unreadable, Vault
from tasks.worker import Worker
from tests.api import Api, make_api
from tests.http_server import Seen, Server, answer
from tests.make import code_body, everything, http_body, make_settings
from tests.security.conftest import Guarded

VALUE = "s3cr3t-Wert-äß"
KEY = "k" * 40


@pytest.fixture
def api(store: Store, tmp_path: Path) -> Iterator[Api]:
    api = make_api(store, tmp_path, http_allowed_networks=["127.0.0.0/8"])
    yield api
    api.close()


@pytest.fixture
def done(api: Api) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """Submits a task, lets a real worker do it, and gives the task."""
    kinds = build_kinds(api.settings)
    worker = Worker(store=api.store, kinds=kinds, settings=api.settings, ring=lambda _: None)

    def do(body: dict[str, Any]) -> dict[str, Any]:
        sent = api.post("/api/tasks", body)
        assert sent.status_code == 201, sent.text
        worker.hear(f"{sent.json['id']}.1")
        return dict(api.get(f"/api/tasks/{sent.json['id']}").json)

    yield do
    worker.close()


@pytest.fixture
def echo() -> Iterator[Server]:
    """Sends back what it was sent."""

    def script(seen: Seen, _connection: Any) -> bytes:
        if seen.target.startswith("/to?"):
            return answer(status=307, location=seen.target.partition("?")[2])
        told = "\n".join([f"{name}: {value}" for name, value in seen.headers.items()]) + "\n" + seen.body.decode()
        return answer(told, x_seen=seen.headers.get("X-Key", ""))

    with Server(script) as server:
        yield server


def put(api: Api, name: str = "TOKEN", value: Any = VALUE) -> Any:
    return api.call("PUT", f"/api/secrets/{name}", json={"value": value})


def test_a_secret_is_told_by_name_only(api: Api, store: Store) -> None:
    assert put(api).status_code == 201
    assert put(api, value="another value").status_code == 204
    listed = api.get("/api/secrets")
    assert [secret["name"] for secret in listed.json["secrets"]] == ["TOKEN"]
    assert set(listed.json["secrets"][0]) == {"name", "created_at", "updated_at"}
    assert "another" not in f"{everything(store)}{listed.text}"
    assert api.call("DELETE", "/api/secrets/TOKEN").status_code == 204
    assert api.call("DELETE", "/api/secrets/TOKEN").json["code"] == "secret_not_found"
    assert api.get("/api/secrets").json == {"secrets": []}


@pytest.mark.parametrize("value", ["", "abc", "x" * 8193, 7, None, "abc\0d"])
def test_what_is_no_secret(api: Api, store: Store, value: Any) -> None:
    assert put(api, value=value).status_code in (400, 422)
    assert not any("secrets" in key for key in everything(store))


@pytest.mark.parametrize("name", ["1A", "A-B", "ä", "A" * 65, "A B"])
def test_what_no_secret_is_called(api: Api, name: str) -> None:
    assert put(api, name).status_code == 422


def test_so_many_and_no_more(api: Api) -> None:
    for number in range(MOST_SECRETS):
        assert put(api, f"N{number}").status_code == 201
    refused = put(api, "ONE_MORE")
    assert (refused.status_code, refused.json["code"]) == (429, "quota_exceeded")
    assert put(api, "N7", "changed value").status_code == 204


def test_code_is_given_it_and_shows_none_of_it(
    api: Api, store: Store, done: Any, caplog: pytest.LogCaptureFixture
) -> None:
    put(api)
    caplog.set_level(logging.DEBUG)
    source = """
def f(key, *, more):
    print("key", key)
    return {"length": len(key), key: [key + "!"], "more": more["deep"][0] == "x" + key}
"""
    task = done(
        code_body(function_code=source, args=["{{secret:TOKEN}}"], kwargs={"more": {"deep": ["x{{secret:TOKEN}}"]}})
    )
    assert task["status"] == "succeeded", task
    assert task["result"] == {"length": len(VALUE), MASK: [f"{MASK}!"], "more": True}
    assert task["stdout"] == f"key {MASK}\n"
    assert task["args"] == ["{{secret:TOKEN}}"]
    assert VALUE not in f"{everything(store)}{caplog.text}{api.get('/api/audit').text}"


def test_a_failure_shows_none_of_it(api: Api, store: Store, done: Any) -> None:
    put(api)
    task = done(code_body(function_code="def f(key):\n    raise ValueError(key)", args=["{{secret:TOKEN}}"]))
    assert task["error"]["message"] == f"ValueError: {MASK}"
    assert VALUE not in str(everything(store))


def test_a_call_sends_it_and_shows_none_of_it(api: Api, store: Store, done: Any, echo: Server) -> None:
    put(api, value="plain-secret-value")
    task = done(
        http_body(
            api_url=echo.url(), method="POST", headers={"X-Key": "{{secret:TOKEN}}"}, json={"a": ["{{secret:TOKEN}}"]},
            auth={"type": "bearer", "token": "{{secret:TOKEN}}"},
        )
    )  # fmt: skip
    (seen,) = echo.seen
    assert (seen.headers["X-Key"], seen.headers["Authorization"]) == ("plain-secret-value", "Bearer plain-secret-value")
    assert seen.body == b'{"a": ["plain-secret-value"]}'
    assert f"X-Key: {MASK}" in task["result"]["body"]
    assert MASK in str(task["result"]["headers"])
    assert "plain-secret-value" not in f"{everything(store)}{task}"


@pytest.mark.parametrize(
    "sent",
    [
        {"form": {"a": "{{secret:TOKEN}}"}},
        {"json": {"a": "{{secret:TOKEN}}"}},
        {"body": "{{secret:TOKEN}}"},
        {"auth": {"type": "basic", "username": "olga", "password": "{{secret:TOKEN}}"}},
    ],
)
def test_what_is_made_of_it_for_the_wire_is_masked_too(
    api: Api, done: Any, echo: Server, store: Store, sent: dict[str, Any]
) -> None:
    value = 'a "b" & Wörter/='
    put(api, value=value)
    task = done(http_body(api_url=echo.url(), method="POST", **sent))
    assert MASK in task["result"]["body"]
    for shape in (value, quote_plus(value), json.dumps(value)[1:-1], b64encode(f"olga:{value}".encode()).decode()):
        assert shape not in f"{everything(store)}{task['result']['body']}"


def test_a_redirect_takes_it_to_no_other_host(api: Api, done: Any, echo: Server) -> None:
    put(api, value="plain-secret-value")
    with Server(lambda _seen, _connection: answer("mine now")) as other:
        task = done(http_body(api_url=echo.url(f"/to?{other.url()}"), method="POST", body="{{secret:TOKEN}}"))
        assert task["error"]["code"] == "insecure_redirect"
        assert other.seen == []
    assert (
        done(http_body(api_url=echo.url("/to?/here"), method="POST", body="{{secret:TOKEN}}"))["status"] == "succeeded"
    )


def test_one_that_is_missing_or_unusable_is_named(api: Api, done: Any, echo: Server) -> None:
    task = done(code_body(function_code="def f(x): return x", args=["{{secret:NONE}}"]))
    assert (task["status"], task["error"]["code"]) == ("failed", "secret_missing")
    assert "PUT /api/secrets/NONE" in task["error"]["message"]
    put(api, "LINES", "two\r\nX-Injected: lines")
    task = done(http_body(api_url=echo.url(), headers={"X-Key": "{{secret:LINES}}"}))
    assert task["error"]["code"] == "secret_unusable"
    assert "Injected" not in str(task)
    assert echo.seen == []


@pytest.mark.parametrize(
    "body",
    [
        http_body(method="POST", json=["{{secret:LONG}}" * 100]),
        http_body(headers={f"X-{n}": "{{secret:LONG}}" for n in range(50)}),
        code_body(
            function_code="def f(*a, **k): return 1",
            args=["{{secret:LONG}}"] * 30,
            kwargs={"a": ["{{secret:LONG}}"] * 30},
        ),
    ],
)
def test_a_short_task_is_not_filled_up_to_a_huge_one(api: Api, done: Any, body: dict[str, Any]) -> None:
    # A megabyte of placeholders made 700 megabytes of it, several times over, in the worker.
    put(api, "LONG", "x" * 8192)
    task = done(body)
    assert task["error"]["code"] == "secret_unusable"
    assert "at most 262144" in task["error"]["message"]


def test_what_would_be_filled_in_is_counted_without_making_it() -> None:
    secrets = {"A": "x" * 100, "B": "y"}
    for value in (
        "{{secret:A}}{{secret:A}}",
        {"{{secret:A}}": ["{{secret:A}}", {"k": 1}]},
        ["{{secret:A}}", "{{secret:A}}"],
    ):
        assert confidential.added(value, secrets) == 200
    assert confidential.added(["{{secret:B}} plain", 7, None], secrets) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (http_body(api_url="https://example.com/{{secret:A}}"), "secret_not_here"),
        (http_body(params={"key": "{{secret:A}}"}), "secret_not_here"),
        (code_body(function_code="def f():\n    return '{{secret:A}}'"), "secret_not_here"),
        (code_body(args=["{{ secret:A }}"]), "bad_secret"),
        (code_body(args=["{{secret:A-B}}"]), "bad_secret"),
        (http_body(headers={"A": "{{secrets.A}}"}), "bad_secret"),
        (code_body(name="with {{secret:A}}"), "secret_not_here"),
        (code_body(tags=["a", "{{secret:A}}"]), "secret_not_here"),
        (code_body(callback={"url": "https://example.com/?key={{secret:A}}"}), "secret_not_here"),
    ],
)
def test_a_placeholder_that_would_stay_one_is_refused(api: Api, body: dict[str, Any], code: str) -> None:
    refused = api.post("/api/tasks", body)
    assert refused.status_code == 422
    assert code in [error["code"] for error in refused.json["errors"]]


def test_everybody_has_his_own(guarded: Guarded) -> None:
    olga, stefan, vera = guarded.user("olga"), guarded.user("stefan"), guarded.key("olga", "viewer")
    assert guarded.call("PUT", "/api/secrets/A", olga, json={"value": VALUE}).status_code == 201
    assert guarded.call("GET", "/api/secrets", stefan).json == {"secrets": []}
    assert guarded.call("DELETE", "/api/secrets/A", stefan).status_code == 404
    assert guarded.call("PUT", "/api/secrets/A", vera, json={"value": VALUE}).status_code == 403
    assert guarded.call("DELETE", "/api/secrets/A", vera).status_code == 403
    assert len(guarded.call("GET", "/api/secrets", olga).json["secrets"]) == 1


def test_what_is_sealed_opens_for_its_owner_and_name_and_key_only() -> None:
    vault = Vault([KEY])
    sealed = vault.seal("olga", "A", VALUE)
    assert vault.seal("olga", "A", VALUE) != sealed
    assert vault.open("olga", "A", sealed) == VALUE
    assert Vault(["n" * 40, KEY]).open("olga", "A", sealed) == VALUE
    changed = ("B" if sealed[20] != "B" else "C").join([sealed[:20], sealed[21:]])
    for keys, owner, name, text in (
        ([KEY], "stefan", "A", sealed),
        ([KEY], "olga", "B", sealed),
        (["n" * 40], "olga", "A", sealed),
        ([KEY], "olga", "A", changed),
        ([KEY], "olga", "A", "x"),
        ([KEY], "olga", "A", ""),
    ):
        with pytest.raises(Unreadable):
            Vault(keys).open(owner, name, text)


def test_a_changed_key_reads_what_the_one_before_it_sealed(store: Store, tmp_path: Path) -> None:
    def ring(**keys: str) -> Keyring:
        settings: Settings = make_settings(tmp_path, **keys)
        return Keyring(store, settings)

    first, second = "a1" * 20, "b2" * 20
    ring(secret_key=first).put("olga", "A", VALUE)
    assert ring(secret_key=second, secret_key_previous=first)._values("olga", {"A"}) == {"A": VALUE}
    with pytest.raises(Exception, match="another SECRET_KEY"):
        ring(secret_key=second)._values("olga", {"A"})


def test_longer_secrets_are_masked_before_those_they_hold() -> None:
    assert Mask(["abcd", "abcdefgh"]).text("abcdefgh abcd") == f"{MASK} {MASK}"
    assert Mask([re.escape("a.c*")]).text("a.c*") == "a.c*"
    assert Mask(["a.c*"]).text("abc* a.c*") == f"abc* {MASK}"
    assert Mask().text("x") == "x"
    assert confidential.filled({"{{secret:A}}": ["{{secret:A}}{{secret:A}}", 1, None]}, {"A": "{{secret:A}}"}) == {
        "{{secret:A}}": ["{{secret:A}}{{secret:A}}", 1, None]
    }
