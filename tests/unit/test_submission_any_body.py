"""Whatever JSON is submitted, it is a task that can be stored or a refusal that says why; nothing else happens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base_tasks import CodeSpec, HttpSpec, build_kinds
from tasks.errors import MOST_TOLD, InvalidTask
from tasks.submission import Accepted, Parser, RetryFields, Submission
from tests.make import NOW, code_body, http_body, make_settings

TEXTS = (
    st.text(max_size=40)
    | st.sampled_from(["", " ", "\x00", "中文", "👩‍👩‍👧", "delayed", "scheduled", "high", "skip", "POST", "x" * 300])
    | st.sampled_from(["2026-02-01T00:00:00Z", "* * * * *", "*/5 9-17 * * 1-5", "@daily", "UTC", "Asia/Shanghai"])
    | st.sampled_from(["https://example.com/", "http://127.0.0.1/", "http://[::1"])
)
NUMBERS = (
    st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from([0, -1, 1, 0.5, 1e308, 10**400, -(10**30), float("inf"), 2**63, 1800, 315_360_000])
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
NAMES = sorted({*Submission.model_fields, *CodeSpec.model_fields, *HttpSpec.model_fields, "json"} - {"json_"})
NEAR_NAMES = st.sampled_from([*NAMES, *RetryFields.model_fields, "nam", "status", "id"])
#: Changes to a valid body: most are wrong, and some of them together.
CHANGES = st.dictionaries(NEAR_NAMES, JSON, max_size=4)
BODIES = st.builds(
    lambda body, changes, dropped: {k: v for k, v in {**body, **changes}.items() if k not in dropped},
    st.sampled_from(
        [
            code_body(),
            http_body(),
            http_body(task_type="delayed", delay_seconds=5),
            http_body(task_type="scheduled", cron_expression="* * * * *", retry={"max": 1}),
        ]
    ),
    CHANGES,
    st.sets(st.sampled_from(NAMES), max_size=2),
)


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parser]:
    settings = make_settings(tmp_path_factory.mktemp("parser"))
    kinds = build_kinds(settings)
    yield Parser(kinds, settings)
    for kind in kinds.values():
        kind.close()


def judged(parser: Parser, body: Any) -> None:
    """Either the body is a task that can be written down, or there is a reason, with a pointer into the body."""
    try:
        found = parser.parse(body, NOW)
    except InvalidTask as refusal:
        problems = refusal.problems
    else:
        storable(found)
        return
    assert problems
    for problem in problems:
        assert problem.pointer == "" or problem.pointer.startswith("/")
        assert problem.code.replace("_", "").isalpha()
        assert problem.message
        assert len(problem.message) < 1000
        problem.message.encode()


def storable(found: Accepted) -> None:
    task = found.task
    for part in (task.spec, task.timing, list(task.tags), task.name, task.timeout, task.expires_in):
        json.dumps(part, ensure_ascii=False, allow_nan=False).encode()
    times = [time for time in (found.delay, task.next_run_at) if time is not None]
    assert len(times) == (0 if task.task_type == "immediate" else 1)
    assert all(0 <= time < 2**53 for time in times)


@settings(max_examples=300, deadline=None)
@given(body=JSON | st.dictionaries(NEAR_NAMES, JSON, max_size=8))
def test_any_json_is_refused_with_a_reason_or_accepted(parser: Parser, body: Any) -> None:
    judged(parser, body)


@settings(max_examples=500, deadline=None)
@given(body=BODIES)
def test_a_valid_body_with_anything_changed_is_refused_with_a_reason_or_accepted(parser: Parser, body: Any) -> None:
    judged(parser, body)


@settings(max_examples=200, deadline=None)
@given(
    source=st.text(max_size=60)
    | st.sampled_from(["\x00", "def f(:", "f = 1", "(" * 300, "def f():\n return " + "-" * 5000 + "1"])
)
def test_any_text_as_code_is_refused_with_a_reason_or_accepted(parser: Parser, source: str) -> None:
    judged(parser, code_body(function_code=source))


@pytest.mark.parametrize("levels", [10, 33, 200, 900])
@pytest.mark.parametrize("field", ["args", "kwargs", "json", "params", "headers", "tags", "retry", "name", "nested"])
def test_deep_nesting_is_refused_or_accepted_everywhere(parser: Parser, field: str, levels: int) -> None:
    value: Any = []
    for _ in range(levels):
        value = [value]
    body = http_body() if field in ("json", "params", "headers") else code_body()
    judged(parser, {**body, "method": "POST", field: {"a": value} if field == "kwargs" else value})


@pytest.mark.parametrize("field", NAMES)
@pytest.mark.parametrize(
    "value", ["x" * 1_000_000, ["x"] * 100_000, {str(n): n for n in range(50_000)}], ids=["text", "list", "object"]
)
def test_enormous_values_are_refused_or_accepted(parser: Parser, field: str, value: Any) -> None:
    judged(parser, {**(code_body() if field in CodeSpec.model_fields else http_body()), field: value})


HUGE = range(100_000)


@pytest.mark.parametrize(
    "body",
    [
        http_body(**dict.fromkeys(map(str, HUGE))),
        http_body(params={"a": [None for _ in HUGE]}),
        http_body(params={str(name): [None] * 1000 for name in range(100)}),
        http_body(headers=dict.fromkeys(map(str, HUGE))),
        http_body(retry={"max": 1, **dict.fromkeys(map(str, HUGE))}),
        http_body(tags=[1 for _ in HUGE]),
        code_body(args=[float("inf") for _ in HUGE]),
    ],
    ids=["unknown", "list", "lists", "headers", "retry", "tags", "arguments"],
)
def test_a_small_body_cannot_cause_an_enormous_answer(parser: Parser, body: Any) -> None:
    with pytest.raises(InvalidTask) as caught:
        parser.parse(body, NOW)
    told = sum(len(problem.message) + len(problem.pointer) for problem in caught.value.problems)
    assert len(caught.value.problems) <= MOST_TOLD
    assert told < 50_000


def test_a_refusal_that_leaves_some_out_says_so(parser: Parser) -> None:
    with pytest.raises(InvalidTask) as caught:
        parser.parse(http_body(**{f"field_{number}": 1 for number in range(150)}), NOW)
    assert caught.value.message == "The task cannot be accepted: 150 faults. The first 100 are told."
    assert len(caught.value.problems) == 100
