"""Every route that there is, also those written later: closed without a token, and blind to other owners' tasks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api import identity
from tasks.principal import Role
from tests.make import code_body, everything, http_body
from tests.security.conftest import Guarded


def routes(guarded: Guarded) -> Iterator[tuple[str, str, str]]:
    """Endpoint, method and path of every route."""
    for rule in guarded.api.app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule.endpoint, method, rule.rule


def test_what_is_open_to_everybody_is_what_we_mean_to_be(guarded: Guarded) -> None:
    open_routes = {
        f"{method} {path}"
        for endpoint, method, path in routes(guarded)
        if endpoint in identity.OPEN or endpoint.partition(".")[0] in identity.OPEN
    }
    assert open_routes == {
        "GET /", "GET /api/health", "GET /api/health/live", "GET /api/health/ready", "POST /api/auth/login",
        "POST /api/auth/refresh", "GET /api/openapi.json", "GET /api/docs", "GET /api/docs/<asset>",
    }  # fmt: skip


def test_every_other_route_is_closed_without_a_token(guarded: Guarded) -> None:
    tried = 0
    for endpoint, method, path in routes(guarded):
        if endpoint in identity.OPEN or endpoint.partition(".")[0] in identity.OPEN:
            continue
        for spelling in (
            path,
            f"{path}/",
            f"/{path}",
            path.upper(),
            path.replace("/api", "/api/health/.."),
            f"{path}%2f",
        ):
            filled = spelling.replace("<", "x").replace(">", "x")
            answer = guarded.call(method, filled, json={})
            assert answer.status_code in (401, 404, 308), (method, filled, answer.text)
            if spelling == path:
                assert answer.status_code == 401, (method, filled)
            tried += 1
    assert tried > 60


def about_tasks(guarded: Guarded) -> dict[str, object]:
    """What Redis holds of tasks and runs."""
    return {key: value for key, value in everything(guarded.api.store).items() if ":task" in key or ":run:" in key}


def test_another_owners_task_is_on_no_route(guarded: Guarded) -> None:
    olga, stefan, reading = guarded.user("olga"), guarded.user("stefan"), guarded.key("olga", Role.VIEWER)
    tasks = [
        guarded.call("POST", "/api/tasks", olga, json=sent).json["id"]
        for sent in (http_body(task_type="scheduled", cron_expression="@daily"), code_body())
    ]
    before = about_tasks(guarded)
    tried = 0
    for _, method, path in routes(guarded):
        if "<task_id>" not in path:
            continue
        changing = method in ("PATCH", "PUT")
        options = {"json": {"name": "mine"} if changing else {}, "headers": {"If-Match": "*"} if changing else {}}
        for task in tasks:
            filled = path.replace("<task_id>", task).replace("<run_id>", f"{task}.1")
            none = f"00000000{task[8:]}"
            answer = guarded.call(method, filled, stefan, **options)
            absent = guarded.call(method, filled.replace(task, none), stefan, **options)
            assert (answer.status_code, answer.json["code"]) == (404, "task_not_found"), (method, filled, answer.text)
            assert answer.json["detail"].replace(task, "") == absent.json["detail"].replace(none, "")
            if method != "GET":
                assert guarded.call(method, filled, reading, **options).status_code == 403, (method, filled)
            tried += 1
    assert tried >= 10
    assert about_tasks(guarded) == before


@pytest.mark.parametrize(
    "query", ["", "?owner=olga", "?name=a", "?kind=http", "?status=queued", "?owner=olga&owner=stefan"]
)
def test_lists_hold_ones_own(guarded: Guarded, query: str) -> None:
    olga, stefan = guarded.user("olga"), guarded.user("stefan")
    guarded.call("POST", "/api/tasks", olga, json=http_body(tags=["t"]))
    page = guarded.call("GET", f"/api/tasks{query}", stefan)
    assert page.status_code in (200, 422)
    if page.status_code == 200:
        assert (page.json["tasks"], page.json["total"] or 0) == ([], 0)
