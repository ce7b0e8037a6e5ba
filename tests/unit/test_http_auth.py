"""`auth`, `form` and `verify_tls` of HTTP tasks: what is sent, what is refused, and who never sees it."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest

from tasks.base_tasks import HttpKind
from tasks.http_request import HttpRequest, first_hop, request_problems
from tasks.model import Failed, Limits
from tasks.report import Report
from tests.http_server import Server, answer
from tests.make import make_settings

BASIC = {"type": "basic", "username": "olga", "password": "pass: wörd"}
BEARER = {"type": "bearer", "token": "abc.def"}
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


def hop(**fields: Any) -> Any:
    return first_hop(HttpRequest(api_url="https://a.example/", **fields), None)


def codes(**fields: Any) -> list[tuple[str, str]]:
    request = HttpRequest(api_url="https://a.example/", **fields)
    return [(problem.pointer, problem.code) for problem in request_problems(request)]


def test_credentials_become_the_one_header() -> None:
    assert hop(auth=BASIC).headers["Authorization"] == "Basic b2xnYTpwYXNzOiB3w7ZyZA=="
    assert hop(auth=BEARER).headers["Authorization"] == "Bearer abc.def"
    assert codes(auth=BASIC) == codes(auth=BEARER) == []


def test_a_form_is_sent_as_browsers_send_it() -> None:
    sent = hop(method="POST", form={"a b": "ü&=", "n": 1.5, "yes": True, "l": ["x", "y"]})
    assert sent.body == b"a+b=%C3%BC%26%3D&n=1.5&yes=true&l=x&l=y"
    assert sent.headers["Content-Type"] == "application/x-www-form-urlencoded"


def test_credentials_and_forms_do_not_follow_a_redirect_to_another_host() -> None:
    sent = hop(method="POST", auth=BEARER, form={"a": "b"})
    elsewhere = sent.redirected(302, "https://b.example/")
    assert "Authorization" not in elsewhere.headers
    assert elsewhere.body is None
    assert sent.redirected(307, "https://a.example/x").headers["Authorization"] == "Bearer abc.def"
    assert "Authorization" not in sent.redirected(307, "https://a.example:8443/").headers


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"auth": BASIC, "headers": {"authorization": "x"}}, ("/auth", "conflict")),
        ({"auth": {"type": "basic", "username": "a"}}, ("/auth/password", "missing")),
        ({"auth": {"type": "bearer"}}, ("/auth/token", "missing")),
        ({"auth": {**BEARER, "username": "a"}}, ("/auth/username", "unknown_field")),
        ({"auth": {"type": "bearer", "token": "a\r\nX-Injected: b"}}, ("/auth/token", "invalid")),
        ({"auth": {"type": "bearer", "token": "ü"}}, ("/auth/token", "invalid")),
        ({"auth": {**BASIC, "username": "a:b"}}, ("/auth/username", "invalid")),
        ({"auth": {**BASIC, "password": "a\nb"}}, ("/auth/password", "invalid")),
        ({"auth": {**BASIC, "password": "\ud800"}}, ("/auth/password", "invalid")),
        ({"form": {"a": "b"}, "body": "x"}, ("/form", "conflict")),
        ({"form": {"a": "b"}, "json": None}, ("/form", "conflict")),
        ({"form": {"a": {}}}, ("/form/a", "bad_param")),
    ],
)
def test_what_cannot_be_sent_is_refused(fields: dict[str, Any], found: tuple[str, str]) -> None:
    assert codes(**fields) == [found]


def test_an_unchecked_certificate_is_refused_at_submission_and_at_the_run(tmp_path: Path) -> None:
    spec = HttpKind.Spec.model_validate({"api_url": "https://a.example/", "verify_tls": False})
    strict = HttpKind(make_settings(tmp_path))
    assert [problem.pointer for problem in strict.problems(spec)] == ["/verify_tls"]
    outcome = strict.run(spec, Limits(timeout=5, max_result_bytes=1000), Report(0))
    assert isinstance(outcome, Failed)
    assert outcome.code == "unverified_tls"
    assert HttpKind(make_settings(tmp_path, http_allow_unverified_tls=True)).problems(spec) == []


def test_a_task_sends_them(tmp_path: Path) -> None:
    kind = HttpKind(make_settings(tmp_path, http_allowed_networks=LOOPBACK))
    with Server(lambda _seen, _connection: answer("ok")) as server:
        fields = {"api_url": server.url(), "method": "POST", "auth": BASIC, "form": {"a": 1}}
        spec = kind.Spec.model_validate(fields)
        assert kind.problems(spec) == []
        kind.run(spec, Limits(timeout=5, max_result_bytes=10_000), Report(0))
        seen = server.seen[0]
    assert b"Basic b2xnYTpwYXNzOiB3w7ZyZA==" in bytes(str(seen), "utf-8")
