"""The OpenAPI document describes every route, and its examples are true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from api.openapi import examples
from api.openapi.document import document, paths_of
from tests.api import Api

GUIDE = (Path(__file__).parents[1] / "data" / "guide.zh.md").read_text(encoding="utf-8")


@pytest.fixture
def openapi(api: Api) -> dict[str, Any]:
    return dict(api.get("/api/openapi.json").json)


def validator(openapi: dict[str, Any], shape: str) -> Any:
    schema = {"$ref": f"#/components/schemas/{shape}", "components": openapi["components"]}
    return jsonschema_rs.Draft202012Validator(schema)


def test_every_route_is_in_the_document(api: Api, openapi: dict[str, Any]) -> None:
    undescribed = [f"{method} {path}" for path, method, _, operation in paths_of(api.app) if operation is None]
    assert undescribed == [], "add @describe(...) below these routes; see CONTRIBUTING.md"
    calls = {(path, method) for path, method, _, _ in paths_of(api.app)}
    assert calls == {(path, verb.upper()) for path, verbs in openapi["paths"].items() for verb in verbs}


def test_a_route_without_a_description_is_found(api: Api) -> None:
    app = api.app
    app._got_first_request = False
    app.add_url_rule("/api/planted", "planted", lambda: "")
    with pytest.raises(LookupError, match="GET /api/planted"):
        document(app, api.kinds, needs_token=False)


def test_every_reference_leads_somewhere(openapi: dict[str, Any]) -> None:
    for reference in re.findall(r'"#/([^"]+)"', json.dumps(openapi)):
        found: Any = openapi
        for part in reference.split("/"):
            found = found[part]
        assert found
    operations = [op for verbs in openapi["paths"].values() for op in verbs.values()]
    ids = [op["operationId"] for op in operations]
    assert len(ids) == len(set(ids))
    links = [
        link for op in operations for answer in op["responses"].values() for link in answer.get("links", {}).values()
    ]
    assert links
    assert {link["operationId"] for link in links} <= set(ids)


def test_the_examples_are_those_of_the_guide() -> None:
    guide = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)]
    guide += [json.loads(block) for block in re.findall(r"-d '(\{.*?\})'", GUIDE, re.DOTALL)]
    assert len(guide) == 6
    shown = list(examples.SUBMISSIONS.values())
    assert all(body in shown for body in guide)
    assert len(shown) == len(guide)


def test_every_example_has_its_shape(openapi: dict[str, Any]) -> None:
    checked = 0
    for path, verbs in openapi["paths"].items():
        for verb, operation in verbs.items():
            bodies = [operation["requestBody"]] if "requestBody" in operation else []
            for holder in [*bodies, *operation["responses"].values()]:
                for content in holder.get("content", {}).values():
                    shown = [example["value"] for example in content.get("examples", {}).values()]
                    shown += [content["example"]] if "example" in content else []
                    for value in shown:
                        shape = content["schema"]["$ref"].rsplit("/", 1)[1]
                        errors = list(validator(openapi, shape).iter_errors(value))
                        assert errors == [], (path, verb, value)
                        checked += 1
    assert checked > 50


@pytest.mark.parametrize("body", examples.SUBMISSIONS.values(), ids=examples.SUBMISSIONS)
def test_every_example_of_a_submission_is_accepted_and_answered_in_shape(
    api: Api, openapi: dict[str, Any], body: dict[str, Any]
) -> None:
    answer = api.post("/api/tasks", body)
    assert answer.status_code == 201, answer.text
    validator(openapi, "Task").validate(answer.json)
    validator(openapi, "TaskPage").validate(api.get("/api/tasks").json)
    validator(openapi, "RunPage").validate(api.get(f"/api/tasks/{answer.json['id']}/runs").json)


def test_problems_have_their_shape(api: Api, openapi: dict[str, Any]) -> None:
    problem = validator(openapi, "Problem")
    for answer in (
        api.post("/api/tasks", {"function_code": "import os", "x": 1}),
        api.get("/api/tasks?limit=0"),
        api.get("/api/tasks/nothing"),
        api.get("/api/nowhere"),
        api.call("PUT", "/api/tasks"),
    ):
        assert answer.content_type == "application/problem+json"
        problem.validate(answer.json)


def test_the_page_for_people_loads_nothing_from_elsewhere(api: Api) -> None:
    page = api.get("/api/docs")
    assert page.status_code == 200
    assert page.content_type.startswith("text/html")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "//" not in policy
    for source in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert "//" not in source
        asset = api.get(f"/api/{source}")
        assert asset.status_code == 200, source
        assert len(asset.data) > 100
        asset.close()
    assert api.get("/api/docs/../settings.py").status_code == 404
    assert api.get("/api/docs/other.js").status_code == 404


def test_other_answers_keep_the_strict_policy(api: Api) -> None:
    assert api.get("/api/tasks").headers["Content-Security-Policy"].startswith("default-src 'none'; frame")
