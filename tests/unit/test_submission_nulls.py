"""A field that is null is a field that was left out."""

from __future__ import annotations

import pytest

from tests.api import Api
from tests.make import code_body


@pytest.mark.parametrize("name", ["run_at", "timezone", "cron_expression", "retry", "expires_in", "timeout"])
def test_a_null_field_counts_as_left_out(api: Api, name: str) -> None:
    answer = api.post("/api/tasks", code_body(task_type="delayed", delay_seconds=60, **{name: None}))
    assert answer.status_code == 201, answer.text


def test_a_schedule_whose_expression_is_null_misses_it(api: Api) -> None:
    answer = api.post("/api/tasks", code_body(task_type="scheduled", cron_expression=None))
    assert answer.status_code == 422
    (error,) = answer.json["errors"]
    assert (error["pointer"], error["code"]) == ("/cron_expression", "missing")


def test_a_null_name_is_refused(api: Api) -> None:
    answer = api.post("/api/tasks", code_body(name=None))
    assert [error["pointer"] for error in answer.json["errors"]] == ["/name"]
