"""A field that is null is a field that was left out."""

from __future__ import annotations

import pytest

from tests.api import Api
from tests.make import code_body, http_body

OF_ANY = ("tags", "priority", "timeout", "retry", "expires_in")
OF_CODE = ("args", "kwargs", "limits")
OF_HTTP = (
    *(
        "method",
        "headers",
        "params",
        "body",
        "form",
        "auth",
        "expected_status",
        "follow_redirects",
        "verify_tls",
        "ca_certificate",
    ),
)


@pytest.mark.parametrize("name", ["run_at", "timezone", "cron_expression", "retry", "expires_in", "timeout"])
def test_a_null_field_counts_as_left_out(api: Api, name: str) -> None:
    answer = api.post("/api/tasks", code_body(task_type="delayed", delay_seconds=60, **{name: None}))
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("name", [*OF_ANY, *OF_CODE])
def test_so_does_each_optional_field_of_code(api: Api, name: str) -> None:
    plain, null = api.post("/api/tasks", code_body()).json, api.post("/api/tasks", code_body(**{name: None})).json
    assert null.get(name) == plain.get(name)


@pytest.mark.parametrize("name", [*OF_ANY, *OF_HTTP])
def test_and_of_a_call(api: Api, name: str) -> None:
    plain, null = api.post("/api/tasks", http_body()).json, api.post("/api/tasks", http_body(**{name: None})).json
    assert null.get(name) == plain.get(name)


def test_null_is_a_body_like_others(api: Api) -> None:
    sent = api.post("/api/tasks", http_body(method="POST", json=None)).json
    assert "json" in sent
    assert sent["json"] is None


def test_a_schedule_whose_expression_is_null_misses_it(api: Api) -> None:
    answer = api.post("/api/tasks", code_body(task_type="scheduled", cron_expression=None))
    assert answer.status_code == 422
    (error,) = answer.json["errors"]
    assert (error["pointer"], error["code"]) == ("/cron_expression", "missing")


def test_a_null_name_is_refused(api: Api) -> None:
    answer = api.post("/api/tasks", code_body(name=None))
    assert [error["pointer"] for error in answer.json["errors"]] == ["/name"]
