"""What is read from a request: JSON that is JSON, and query parameters that exist."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api import Api
from tests.make import code_body, keys

GOOD = json.dumps(code_body())
JSON = {"Content-Type": "application/json"}


def post(api: Api, raw: bytes | str, **headers: str) -> tuple[int, dict[str, Any]]:
    """Status and problem of these bytes as a submission; nothing was stored."""
    answer = api.call("POST", "/api/tasks", data=raw, headers={**JSON, **headers})
    if answer.status_code != 201:
        assert answer.mimetype == "application/problem+json"
        assert keys(api.store) == set()
    return answer.status_code, dict(answer.json)


# --- bodies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ("", "The body is empty"),
        ("{", "line 1, column 2"),
        ('{"name": "x",}', "line 1"),
        ('{"a": 1}\n{"b": 2}', "line 2, column 1"),
        ("{'name': 'x'}", "column 2"),
        ('{"name": undefined}', "column 10"),
        ('{"a": 01}', "column"),
        ('{"a": +1}', "column"),
        ('{"a": .5}', "column"),
        ('{"a": "x\ny"}', "control character"),
        ('{"a": "\\x"}', "escape"),
        ("// no\n{}", "column 1"),
        ("nonsense", "column 1"),
        ('{"a": NaN}', "NaN is not a JSON value"),
        ('{"a": [Infinity]}', "Infinity is not a JSON value"),
        ('{"a": {"b": -Infinity}}', "-Infinity is not a JSON value"),
        ('{"name": "a", "name": "b"}', "'name' stands twice"),
        ('{"a": [{"中": 1, "中": 2}]}', "'中' stands twice"),
        (b"\xff\xfe{}", "not UTF-8"),
        ('{"名": 1}'.encode("gbk"), "not UTF-8"),
        (GOOD.encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf{}", "BOM"),
        ('{"name": "\\ud800"}', "surrogate"),
        ('{"\\udfff": 1}', "surrogate"),
        ('{"a": ["x", {"b": "\\uD83D x"}]}', "surrogate"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 50_000, "nested too deeply"),
        ("9" * 10_000, "too many digits"),
    ],
)
def test_what_is_not_json_is_refused_and_says_why(api: Api, raw: bytes | str, told: str) -> None:
    status, problem = post(api, raw)
    assert (status, problem["code"]) == (400, "malformed_json")
    assert told in problem["detail"]
    assert len(problem["detail"]) < 300


@pytest.mark.parametrize("name", ["世界", "\U0001f600", "\\ud83d\\ude00", "\\u4e16", "a\\\\ud800"])
def test_text_arrives_as_it_was_meant_escaped_or_not(api: Api, name: str) -> None:
    status, task = post(api, GOOD.replace("a task", name))
    assert (status, task["name"]) == (201, json.loads(f'"{name}"'))


@pytest.mark.parametrize("value", ["null", "1", '"text"', "[]", "true", "[{}]", "1e999"])
def test_json_that_is_no_object_is_an_invalid_task(api: Api, value: str) -> None:
    status, problem = post(api, value)
    assert (status, problem["code"]) == (422, "invalid_task")
    assert [each["code"] for each in problem["errors"]] == ["not_an_object"]


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", "json"],
)
def test_another_content_type_is_refused(api: Api, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = api.call("POST", "/api/tasks", data=GOOD, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")
    assert keys(api.store) == set()


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_parameters_and_case_of_the_content_type_do_not_matter(api: Api, content_type: str) -> None:
    assert post(api, GOOD, **{"Content-Type": content_type})[0] == 201


@pytest.mark.parametrize("size", [1_048_577, 11_000_000])
def test_a_body_that_is_too_large_is_refused(api: Api, size: int) -> None:
    answer = api.call("POST", "/api/tasks", data=b" " * size, headers=JSON)
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")
    assert "MAX_BODY_BYTES" in answer.json["detail"]


def test_a_body_of_the_largest_size_is_read(api: Api) -> None:
    assert post(api, GOOD.ljust(1_048_576))[0] == 201


def test_a_name_that_stands_twice_among_very_many_is_found_soon_enough(api: Api) -> None:
    names = [f'"{number:x}":0' for number in range(80_000)]
    status, problem = post(api, "{" + ",".join([*names, names[-1]]) + "}")
    assert (status, problem["code"]) == (400, "malformed_json")


def test_a_body_with_very_many_unknown_fields_gets_a_short_answer(api: Api) -> None:
    names = [f'"{number:x}":0' for number in range(80_000)]
    status, problem = post(api, "{" + ",".join(names) + "}")
    assert status == 422
    assert len(problem["errors"]) == 100


# --- query parameters --------------------------------------------------------------------------------------------


def refused(api: Api, query: str) -> dict[str, str]:
    """What is wrong with a query, by parameter."""
    answer = api.get(f"/api/tasks?{query}")
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_query"), answer.json
    assert answer.mimetype == "application/problem+json"
    return {each["pointer"]: each["code"] for each in answer.json["errors"]}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limt=5", {"?limt": "unknown_parameter"}),
        ("Limit=5", {"?Limit": "unknown_parameter"}),
        ("=5", {"?": "unknown_parameter"}),
        ("limit=1&limit=2", {"?limit": "repeated"}),
        ("limit=", {"?limit": "too_small"}),
        ("limit=0", {"?limit": "invalid"}),
        ("limit=501", {"?limit": "invalid"}),
        ("limit=-1", {"?limit": "invalid"}),
        ("limit=1.5", {"?limit": "invalid"}),
        ("limit=%EF%BC%95", {"?limit": "invalid"}),
        ("limit=1e2", {"?limit": "invalid"}),
        ("limit=0000000000019999", {"?limit": "invalid"}),
        ("limit=" + "9" * 5000, {"?limit": "*"}),
        ("cursor=x", {"?cursor": "invalid"}),
        ("cursor=01A20BE3-2F7A-77F2-92EE-AD4B7D4E9BD8", {"?cursor": "invalid"}),
        ("status=done", {"?status": "invalid"}),
        ("status=QUEUED", {"?status": "invalid"}),
        ("task_type=later", {"?task_type": "invalid"}),
        ("kind=shell", {"?kind": "invalid"}),
        ("tag=" + "x" * 201, {"?tag": "too_large"}),
        ("name=" + "x" * 201, {"?name": "too_large"}),
        ("created_after=yesterday", {"?created_after": "invalid"}),
        ("created_before=2026-01-01", {"?created_before": "invalid"}),
        ("created_before=2026-01-01T00:00:00", {"?created_before": "invalid"}),
        ("limit=0&status=x&nothing=1", {"?limit": "invalid", "?status": "invalid", "?nothing": "unknown_parameter"}),
    ],
)
def test_a_query_that_is_wrong_is_refused_with_every_parameter(api: Api, query: str, expected: dict[str, str]) -> None:
    found = refused(api, query)
    assert found.keys() == expected.keys()
    assert all(code in ("*", found[name]) for name, code in expected.items())


@pytest.mark.parametrize(
    "query",
    [
        "limit=1",
        "limit=500",
        "limit=007",
        "status=queued&task_type=immediate&kind=code",
        "tag=%E4%B8%AD",
        "name=a%20b",
        "created_after=2026-01-01T00:00:00%2B08:00",
        "created_after=2026-01-01T00:00:00+08:00",
        "created_after=2026-01-01%2000:00:00Z",
        "created_before=2099-01-01T00:00:00.123Z",
        "cursor=01a20be3-2f7a-77f2-92ee-ad4b7d4e9bd8",
    ],
)
def test_a_good_query_is_answered(api: Api, query: str) -> None:
    assert api.get(f"/api/tasks?{query}").status_code == 200


@pytest.mark.parametrize("query", ["cursor=0", "cursor=x", "limit=501", "status=done", "page=2"])
def test_the_history_of_a_task_has_parameters_of_its_own(api: Api, query: str) -> None:
    task = api.submit()
    answer = api.get(f"/api/tasks/{task['id']}/runs?{query}")
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_query")
