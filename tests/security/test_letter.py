"""HTTP to the letter on every route that there is, also those written later: methods, slashes, queries, bodies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.browser import HEADERS
from api.openapi import Operation, described
from tasks.store import Store
from tests.api import make_api
from tests.make import http_body
from tests.security.conftest import PASSWORD, Guarded, bearer

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW")
PROBLEM = "application/problem+json"
#: What differs from one answer to the next.
PASSING = {"date"}
NAMED = {"X-Request-Id": "the-same-one"}


@dataclass(frozen=True)
class Route:
    """A path filled in with what there is, the methods that it takes, and what is said of each."""

    path: str
    operations: dict[str, Operation]

    @property
    def methods(self) -> set[str]:
        return {*self.operations, "OPTIONS", *(["HEAD"] if "GET" in self.operations else [])}


class Walk:
    """The application with one of everything in it, seen by an administrator who has logged in."""

    def __init__(self, guarded: Guarded) -> None:
        self.guarded = guarded
        self.who = {**bearer(guarded.log_in("ada").json["access_token"]), **NAMED}
        schedule = http_body(task_type="scheduled", cron_expression="@daily")
        task = self.call("POST", "/api/tasks", json=schedule).json["id"]
        assert self.call("POST", f"/api/tasks/{task}/run").status_code == 201
        key = self.call("POST", "/api/keys", json={"name": "a key"}).json["id"]
        assert self.call("PUT", "/api/secrets/TOKEN", json={"value": "a secret"}).status_code == 201
        known = {"task_id": task, "run_id": f"{task}.1", "key_id": key, "username": "ada", "secret_name": "TOKEN"}
        self.known = {**known, "asset": "swagger-ui.css"}

    def call(self, method: str, path: str, **options: Any) -> Any:
        """One request, whose answer has what every answer must have."""
        headers = {**self.who, **options.pop("headers", {})}
        answer = self.guarded.api.client.open(path, method=method, headers=headers, **options)
        assert answer.headers["X-Request-Id"] == NAMED["X-Request-Id"]
        assert [name for name in HEADERS if name not in answer.headers] == []
        assert "Set-Cookie" not in answer.headers
        assert not any(name.startswith("Access-Control-") for name, _ in answer.headers)
        if answer.status_code >= 400 and method != "HEAD":
            assert answer.content_type == PROBLEM, (method, path, answer.text)
            assert answer.json["status"] == answer.status_code
        return answer

    def routes(self) -> Iterator[Route]:
        """Every path once."""
        app = self.guarded.api.app
        found: dict[str, dict[str, Operation]] = {}
        for rule in app.url_map.iter_rules():
            operation = described(app.view_functions[rule.endpoint])
            assert operation is not None, rule
            path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", lambda part: self.known.get(part[1], "x"), rule.rule)
            methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
            found.setdefault(path, {}).update(dict.fromkeys(methods, operation))
        assert len(found) > 30
        return (Route(path, operations) for path, operations in sorted(found.items()))

    def with_bodies(self) -> Iterator[tuple[str, str]]:
        """Method and path of every call that takes a JSON body."""
        for route in self.routes():
            yield from ((method, route.path) for method, each in route.operations.items() if each.body)


@pytest.fixture
def walk(guarded: Guarded) -> Walk:
    return Walk(guarded)


def told(answer: Any) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.lower() not in PASSING}


def test_head_is_answered_like_get_without_a_body(walk: Walk) -> None:
    for route in walk.routes():
        if "GET" not in route.operations:
            continue
        get, head = walk.call("GET", route.path), walk.call("HEAD", route.path)
        assert get.status_code < 300 or "/x" in route.path, route.path
        assert (head.status_code, head.data) == (get.status_code, b""), route.path
        assert told(head) == told(get), route.path
        get.close()
    missing = walk.call("HEAD", "/api/nowhere")
    assert (missing.status_code, missing.data, missing.content_type) == (404, b"", PROBLEM)


def test_options_tells_the_methods_and_nothing_else(walk: Walk) -> None:
    for route in walk.routes():
        answer = walk.call("OPTIONS", route.path)
        assert (answer.status_code, answer.data, answer.content_type) == (204, b"", None), route.path
        assert set(answer.allow) == route.methods, route.path
    assert walk.call("OPTIONS", "/api/nowhere").status_code == 404


def test_every_other_method_is_refused_and_the_right_ones_are_named(walk: Walk) -> None:
    for route in walk.routes():
        for method in {*METHODS} - route.methods:
            answer = walk.call(method, route.path, json={})
            assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed"), (method, route.path)
            assert set(answer.allow) == route.methods, (method, route.path)


def test_a_path_with_a_slash_too_many_is_no_path_and_leads_nowhere_else(walk: Walk) -> None:
    for route in walk.routes():
        for spelling in (f"{route.path}/", f"/{route.path}", route.path.replace("/api/", "/api//")):
            if spelling == route.path:
                continue
            for method in route.operations:
                answer = walk.call(method, "/", json={}, environ_overrides={"PATH_INFO": spelling})
                assert (answer.status_code, answer.json["code"]) == (404, "path_not_found"), (method, spelling)
                assert "Location" not in answer.headers


def test_a_parameter_that_the_call_does_not_have_is_refused(walk: Walk) -> None:
    for route in walk.routes():
        for method in route.operations:
            answer = walk.call(method, f"{route.path}?strange=1", json={})
            assert (answer.status_code, answer.json["code"]) == (422, "invalid_query"), (method, route.path)
            (fault,) = answer.json["errors"]
            assert (fault["pointer"], fault["code"]) == ("?strange", "unknown_parameter")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": ""},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
    ids=lambda headers: " ".join(headers.values()),
)
def test_a_body_that_is_no_plain_json_in_utf_8_is_refused(walk: Walk, headers: dict[str, str]) -> None:
    for method, path in walk.with_bodies():
        answer = walk.call(method, path, data=b"{}", headers=headers)
        assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type"), (method, path)


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"'])
def test_the_one_charset_may_be_named(walk: Walk, charset: str) -> None:
    kind = {"Content-Type": f"application/json; charset={charset}", "Content-Encoding": "identity"}
    answer = walk.call("POST", "/api/tasks/validate", data=b"{}", headers=kind)
    assert (answer.status_code, answer.json["valid"]) == (200, False)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b'{"name": "\xff"}', 400, "malformed_json"),
        (b"[]", 422, None),
        (b"null", 422, None),
        (b'"text"', 422, None),
        (b'"' + b"x" * 1_100_000 + b'"', 413, "body_too_large"),
    ],
    ids=["empty", "cut off", "not UTF-8", "list", "null", "text", "large"],
)
def test_a_body_that_is_no_object_is_refused_by_every_call_alike(
    walk: Walk, body: bytes, status: int, code: str | None
) -> None:
    for method, path in walk.with_bodies():
        answer = walk.call(method, path, data=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == status, (method, path, answer.text)
        assert answer.json["code"] == (code or answer.json["code"])


def test_answers_are_what_they_are_whatever_the_client_would_rather_have(walk: Walk) -> None:
    for route in walk.routes():
        if "GET" in route.operations:
            wanted = {"Accept": "application/xml, image/*;q=0.5, */*;q=0", "Accept-Encoding": "br, gzip;q=0"}
            answer, plain = walk.call("GET", route.path, headers=wanted), walk.call("GET", route.path)
            assert (answer.status_code, told(answer)) == (plain.status_code, told(plain)), route.path
            answer.close()
            plain.close()


#: What HTTP and browsers ask for, whatever the call is.
EVERYWHERE = {"Content-Type", "Content-Length", "Date", "Server", "Connection", "Vary", "X-Accel-Buffering", *HEADERS}


def test_every_header_of_an_answer_is_in_the_description(store: Store, tmp_path: Path) -> None:
    api = make_api(store, tmp_path, auth_required=True, admin_password=PASSWORD, rate_limit="100000/minute",
                   admin_username="ada")  # fmt: skip
    try:
        walk = Walk(Guarded(api))
        paths = api.get("/api/openapi.json").json["paths"]
        closest, checked = sorted(paths, key=lambda path: path.count("{")), 0
        for route in walk.routes():
            for method, operation in route.operations.items():
                described_as = next(
                    path for path in closest if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), route.path)
                )
                responses = paths[described_as][method.lower()]["responses"]
                query = "" if method == "GET" else "?strange=1"
                answer = walk.call(method, route.path + query, **({"json": {}} if operation.body else {}))
                known = responses[str(answer.status_code)]["headers"]
                shown = {name for name, _ in answer.headers} - EVERYWHERE
                assert shown <= set(known), (method, route.path, shown - set(known))
                answer.close()
                checked += 1
        assert checked > 40
    finally:
        api.close()


def test_the_first_path_says_where_to_go(walk: Walk) -> None:
    answer = walk.call("GET", "/")
    assert answer.json["docs"] == "/api/docs"
    for name in ("docs", "openapi", "health", "tasks"):
        assert walk.call("GET", answer.json[name]).status_code == 200
