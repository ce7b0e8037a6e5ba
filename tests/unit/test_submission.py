"""From a submitted body to a task, or to every reason why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks import identifier
from tasks.base_tasks import build_kinds
from tasks.errors import FieldProblem, InvalidTask
from tasks.model import Priority, Retry, Status, Task, TaskType
from tasks.submission import FURTHEST, Accepted, Parser, Submission
from tests.kinds import EchoKind
from tests.make import HOUR, NOW, code_body, http_body, make_settings

LONG = "长" * 200


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> Parser:
    """Knows HTTP calls and echoes: submission does not depend on the sandbox."""
    settings = make_settings(tmp_path_factory.mktemp("parser"), task_timeout=600)
    return Parser({"http": build_kinds(settings)["http"], "echo": EchoKind(settings)}, settings)


def echo(**over: Any) -> dict[str, Any]:
    return {"name": "a task", "task_type": "immediate", "echo": 1, **over}


def scheduled(**over: Any) -> dict[str, Any]:
    return echo(**{"task_type": "scheduled", "cron_expression": "0 8 * * *", **over})


def delayed(**over: Any) -> dict[str, Any]:
    return echo(task_type="delayed", **over)


def accepted(parser: Parser, body: Any) -> Task:
    return parser.parse(body, NOW).task


def problems(parser: Parser, body: Any) -> dict[str, FieldProblem]:
    """What is wrong, by pointer; no field is blamed twice."""
    with pytest.raises(InvalidTask) as caught:
        parser.parse(body, NOW)
    found = {problem.pointer: problem for problem in caught.value.problems}
    assert len(found) == len(caught.value.problems)
    assert all(problem.message.endswith((".", "?")) and problem.code for problem in found.values())
    return found


def codes(parser: Parser, body: Any) -> dict[str, str]:
    return {pointer: problem.code for pointer, problem in problems(parser, body).items()}


# --- what is accepted --------------------------------------------------------------------------------------------


def test_the_least_submission_is_filled_with_defaults(parser: Parser) -> None:
    found = parser.parse(echo(), NOW)
    task = found.task
    assert found == Accepted(task=task, delay=None)
    assert identifier.is_id(task.id)
    assert (task.name, task.task_type, task.kind, task.status) == ("a task", "immediate", "echo", Status.QUEUED)
    assert (task.timeout, task.retry, task.expires_in) == (30, Retry(), None)
    assert (task.tags, task.priority, task.timing, task.next_run_at) == ((), Priority.NORMAL, {}, None)
    assert task.created_at == task.updated_at == identifier.moment_of(task.id)


def test_each_submission_gets_an_id_of_its_own(parser: Parser) -> None:
    assert len({accepted(parser, echo()).id for _ in range(100)}) == 100


def test_everything_that_may_be_said_is_kept_as_it_was_said(parser: Parser) -> None:
    retry = {
        "max": 3,
        "backoff": 0.5,
        "factor": 3.0,
        "max_delay": 60.0,
        "jitter": 0.0,
        "on": ["503", "5xx", "timed_out"],
    }
    task = accepted(
        parser,
        scheduled(
            name=LONG,
            timezone="Asia/Shanghai",
            start_at="2026-02-01T00:00:00+08:00",
            end_at="2027-02-01T00:00:00Z",
            max_runs=10,
            overlap="queue",
            misfire="all",
            misfire_limit=5,
            timeout=12.5,
            retry=retry,
            expires_in=60,
            tags=["中文", "b", "中文"],
            priority="high",
        ),
    )
    assert (task.name, task.timeout, task.expires_in, task.tags) == (LONG, 12.5, 60, ("中文", "b"))
    assert (task.priority, task.status) == (Priority.HIGH, Status.SCHEDULED)
    assert task.retry == Retry(**{**retry, "on": tuple(retry["on"])})  # type: ignore[arg-type]
    assert task.timing == {
        "cron_expression": "0 8 * * *",
        "timezone": "Asia/Shanghai",
        "start_at": "2026-02-01T00:00:00+08:00",
        "end_at": "2027-02-01T00:00:00Z",
        "max_runs": 10,
        "overlap": "queue",
        "misfire": "all",
        "misfire_limit": 5,
    }
    assert task.next_run_at == 1_769_904_000_000  # 8:00 on 1 February in Shanghai


def test_a_schedule_that_says_little_is_in_utc_skips_overlaps_and_runs_once_for_what_was_missed(parser: Parser) -> None:
    task = accepted(parser, scheduled())
    assert task.timing == {
        "cron_expression": "0 8 * * *",
        "timezone": "UTC",
        "overlap": "skip",
        "misfire": "once",
        "misfire_limit": 10,
    }
    assert task.next_run_at == NOW + 20 * HOUR


@pytest.mark.parametrize(("seconds", "delay"), [(60, 60_000), (0.001, 1), (1.5, 1500), (FURTHEST, 1000 * FURTHEST)])
def test_a_delay_is_counted_in_milliseconds(parser: Parser, seconds: float, delay: int) -> None:
    found = parser.parse(delayed(delay_seconds=seconds), NOW)
    assert (found.delay, found.task.next_run_at, found.task.status) == (delay, None, Status.SCHEDULED)
    assert found.task.timing == {"delay_seconds": seconds}


def test_a_whole_number_comes_back_as_one(parser: Parser) -> None:
    timing = accepted(parser, delayed(delay_seconds=60.0, timeout=30.0))
    assert repr(timing.timing["delay_seconds"]) == "60"
    assert repr(timing.timeout) == "30"


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("2026-01-15T20:00:01+08:00", NOW + 1000),
        ("2026-01-15T12:00:00.5Z", NOW + 500),
        ("2026-01-15t11:59:30z", NOW - 30_000),
        ("2036-01-13T11:00:00+00:00", NOW + 10 * 365 * 24 * HOUR - HOUR),
    ],
)
def test_a_moment_is_kept_as_typed_and_due_when_it_says(parser: Parser, text: str, due: int) -> None:
    found = parser.parse(delayed(run_at=text), NOW)
    assert (found.delay, found.task.next_run_at, found.task.timing) == (None, due, {"run_at": text})


def test_null_counts_as_not_said_where_a_field_may_be_left_out(parser: Parser) -> None:
    optional = [name for name, field in Submission.model_fields.items() if field.default is None]
    nulls = dict.fromkeys(optional)
    given, plain = accepted(parser, echo(**nulls)), accepted(parser, echo())
    assert (given.timing, given.timeout, given.retry) == (plain.timing, plain.timeout, plain.retry)
    assert codes(parser, delayed(**nulls)) == {"/delay_seconds": "missing"}
    assert codes(parser, scheduled(**nulls)) == {"/cron_expression": "missing"}
    assert accepted(parser, delayed(delay_seconds=None, run_at="2026-02-01T00:00:00Z")).next_run_at is not None
    assert accepted(parser, scheduled(timezone=None, overlap=None)).timing["timezone"] == "UTC"


def test_the_fields_of_the_kind_are_kept_with_their_defaults(parser: Parser) -> None:
    spec = accepted(parser, http_body(method="post", json=None)).spec
    assert spec["method"] == "POST"
    assert spec["json"] is None
    assert (spec["follow_redirects"], spec["headers"]) == (True, {})


def test_no_json_body_and_a_null_one_are_told_apart(parser: Parser) -> None:
    assert "json" not in accepted(parser, http_body()).spec
    assert "json" in accepted(parser, http_body(method="POST", json=None)).spec


@pytest.mark.parametrize(
    "name",
    ["a", "  padded  ", "中文任务", "👩‍👩‍👧‍👦", "a/b~c", '"; DROP', "<script>", "{{7*7}}", "x" * 200, LONG],
)
def test_a_name_comes_back_as_typed(parser: Parser, name: str) -> None:
    assert accepted(parser, echo(name=name)).name == name


def test_a_kind_without_a_timeout_of_its_own_gets_the_most(parser: Parser) -> None:
    assert accepted(parser, http_body()).timeout == 30
    assert accepted(parser, http_body(timeout=600)).timeout == 600


# --- the body as a whole -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [None, [], [{}], "text", 1, 1.5, True, ""])
def test_what_is_no_object_is_refused_as_a_whole(parser: Parser, body: object) -> None:
    assert codes(parser, body) == {"": "not_an_object"}


def test_an_empty_object_lacks_everything_at_once(parser: Parser) -> None:
    assert codes(parser, {}) == {"": "no_kind", "/name": "missing", "/task_type": "missing"}


def test_the_refusal_says_which_fields_make_a_kind(parser: Parser) -> None:
    assert problems(parser, {})[""].message == "Say what to do: give `api_url` or `echo`."


def test_two_kinds_of_work_are_one_too_many(parser: Parser) -> None:
    found = problems(parser, http_body(echo=1))
    assert {pointer: problem.code for pointer, problem in found.items()} == {"": "several_kinds"}
    assert "exactly one" in found[""].message


def test_a_field_of_the_other_kind_is_named(parser: Parser) -> None:
    found = problems(parser, echo(method="GET", headers={}))
    assert {pointer: problem.code for pointer, problem in found.items()} == {
        "/method": "field_of_other_kind",
        "/headers": "field_of_other_kind",
    }
    assert "http" in found["/method"].message
    assert "echo" in found["/method"].message


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("nam", "name"),
        ("task_typ", "task_type"),
        ("delay_second", "delay_seconds"),
        ("cronexpression", "cron_expression"),
        ("api_ur", "api_url"),
        ("Timeout", "timeout"),
        ("time_out", "timeout"),
        ("tag", "tags"),
    ],
)
def test_an_unknown_field_is_refused_with_the_nearest_name(parser: Parser, name: str, near: str) -> None:
    problem = problems(parser, echo(**{name: 1}))[f"/{name}"]
    assert problem.code == "unknown_field"
    assert problem.message == f"There is no such field. Did you mean `{near}`?"


@pytest.mark.parametrize(
    "name", ["id", "status", "zzzzzz", "", " ", "中文", "kind", "created_at", "__class__", "json_"]
)
def test_other_unknown_fields_are_refused_too(parser: Parser, name: str) -> None:
    found = codes(parser, echo(**{name: 1}))
    assert found[f"/{name}"] == "unknown_field"


def test_a_pointer_is_escaped_and_never_huge(parser: Parser) -> None:
    found = codes(parser, echo(**{"a/b~c": 1, "x" * 5000: 1}))
    assert set(found) == {"/a~1b~0c", "/" + "x" * 100}


def test_a_name_that_is_known_as_an_alias_is_known_by_no_other(parser: Parser) -> None:
    assert codes(parser, http_body(json_={}))["/json_"] == "unknown_field"


def test_everything_that_is_wrong_is_told_in_one_answer(parser: Parser) -> None:
    body = {
        "name": "",
        "task_type": "scheduled",
        "cron_expression": "61 * * * *",
        "timezone": "Mars/Olympus",
        "delay_seconds": 1,
        "api_url": "ftp://example.com",
        "method": "BREW",
        "expected_status": [99],
        "timeout": 601,
        "retry": {"max": -1, "bakoff": 1},
        "tags": ["", "x" * 65],
        "priority": "urgent",
        "max_runs": 0,
        "nmae": "x",
    }
    assert codes(parser, body) == {
        "/nmae": "unknown_field",
        "/name": "too_small",
        "/max_runs": "too_small",
        "/retry/max": "too_small",
        "/retry/bakoff": "unknown_field",
        "/tags/0": "too_small",
        "/tags/1": "too_large",
        "/priority": "invalid",
        "/method": "invalid",
        "/expected_status/0": "too_small",
        "/delay_seconds": "field_of_other_type",
        "/cron_expression": "cron_out_of_range",
        "/timezone": "unknown_timezone",
        "/timeout": "too_large",
        "/api_url": "bad_scheme",
    }


# --- each field --------------------------------------------------------------------------------------------------

WRONG_TYPES: dict[str, list[object]] = {
    "name": [1, None, True, [], {}, ["a"]],
    "task_type": [1, None, [], {}, True],
    "timeout": ["30", True, [], {}],
    "expires_in": ["30", False, [], {}],
    "tags": ["a", 1, {}, {"a": 1}],
    "tags/0": [1, None, True, [], {}],
    "priority": [1, True, []],
    "retry": [3, "3", True, [], [3]],
    "retry/max": ["3", None, True, 1.5, []],
    "retry/backoff": ["1", None, True, []],
    "retry/factor": ["2", None, True],
    "retry/max_delay": ["2", None, True],
    "retry/jitter": ["2", None, True],
    "retry/on": ["5xx", 503, None, {}],
    "retry/on/0": [503, None, True],
}


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, values in WRONG_TYPES.items() for value in values])
def test_a_field_of_the_wrong_type_is_named_and_nothing_is_converted(parser: Parser, path: str, value: object) -> None:
    field, *rest = path.split("/")
    inner: Any = value
    if rest and field == "retry":
        inner = {"max": 1, rest[0]: [value] if len(rest) > 1 else value}
    elif rest:
        inner = [value]
    found = codes(parser, echo(**{field: inner}))
    assert set(found) == {f"/{path}"}
    assert found[f"/{path}"] in ("wrong_type", "invalid")


OUT_OF_BOUNDS: list[tuple[str, object, str]] = [
    ("name", "", "too_small"),
    ("name", "x" * 201, "too_large"),
    ("name", LONG + "长", "too_large"),
    ("name", "   ", "invalid"),
    ("name", "a\nb", "invalid"),
    ("name", "a\x00b", "invalid"),
    ("name", "\x1b[31mred", "invalid"),
    ("name", "\x7f", "invalid"),
    ("task_type", "now", "invalid"),
    ("task_type", "IMMEDIATE", "invalid"),
    ("task_type", "", "invalid"),
    ("timeout", 0, "too_small"),
    ("timeout", -1, "too_small"),
    ("timeout", 600.001, "too_large"),
    ("timeout", 1e300, "too_large"),
    ("timeout", float("inf"), "invalid"),
    ("timeout", float("nan"), "invalid"),
    ("expires_in", 0, "too_small"),
    ("expires_in", -0.5, "too_small"),
    ("expires_in", FURTHEST + 1, "too_large"),
    ("priority", "low", "invalid"),
    ("priority", "", "invalid"),
    ("tags", ["x"] * 21, "too_large"),
    ("retry", {}, "missing"),
]


@pytest.mark.parametrize(("field", "value", "code"), OUT_OF_BOUNDS)
def test_a_value_out_of_bounds_is_refused_with_its_field(parser: Parser, field: str, value: object, code: str) -> None:
    pointer = "/retry/max" if field == "retry" else f"/{field}"
    found = codes(parser, echo(**{field: value}))
    assert set(found) == {pointer}
    assert found[pointer] == code


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max", 101),
        ("max", -1),
        ("backoff", -0.1),
        ("backoff", 86_401),
        ("factor", 0.9),
        ("factor", 10.1),
        ("max_delay", -1),
        ("max_delay", 604_801),
        ("jitter", -0.1),
        ("jitter", 1.1),
        ("on", ["x"] * 51),
        ("backoff", float("nan")),
        ("max_delay", float("inf")),
    ],
)
def test_retry_has_bounds(parser: Parser, field: str, value: object) -> None:
    found = codes(parser, echo(retry={"max": 1, field: value}))
    assert found
    assert all(pointer.startswith(f"/retry/{field}") for pointer in found)


@pytest.mark.parametrize("value", ["", "5XX", "6xx", "99", "600", "0x", "Timed_out", "timed-out", "a", "x" * 60, "5\n"])
def test_retry_on_takes_codes_statuses_and_classes_only(parser: Parser, value: str) -> None:
    assert set(codes(parser, echo(retry={"max": 1, "on": [value]}))) == {"/retry/on/0"}


@pytest.mark.parametrize("value", ["timed_out", "100", "599", "1xx", "5xx", "connect_failed"])
def test_retry_on_takes_these(parser: Parser, value: str) -> None:
    assert accepted(parser, echo(retry={"max": 1, "on": [value]})).retry.on == (value,)


@pytest.mark.parametrize("tag", ["", "x" * 65, " ", "a\tb", "a\u0000"])
def test_a_tag_has_to_be_short_and_visible(parser: Parser, tag: str) -> None:
    assert set(codes(parser, echo(tags=["good", tag]))) == {"/tags/1"}


def test_a_timeout_beyond_the_most_names_the_setting(parser: Parser) -> None:
    problem = problems(parser, echo(timeout=601))["/timeout"]
    assert problem.message == "must be at most 600 seconds (the setting TASK_TIMEOUT)."


# --- when --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"/delay_seconds": "missing"}),
        ({"delay_seconds": 1, "run_at": "2026-02-01T00:00:00Z"}, {"/delay_seconds": "several_times"}),
        ({"delay_seconds": 0}, {"/delay_seconds": "too_small"}),
        ({"delay_seconds": -1}, {"/delay_seconds": "too_small"}),
        ({"delay_seconds": -0.0}, {"/delay_seconds": "too_small"}),
        ({"delay_seconds": FURTHEST + 1}, {"/delay_seconds": "too_large"}),
        ({"delay_seconds": 10**400}, {"/delay_seconds": "*"}),
        ({"delay_seconds": float("inf")}, {"/delay_seconds": "*"}),
        ({"delay_seconds": float("-inf")}, {"/delay_seconds": "*"}),
        ({"delay_seconds": float("nan")}, {"/delay_seconds": "*"}),
        ({"delay_seconds": "60"}, {"/delay_seconds": "wrong_type"}),
        ({"delay_seconds": True}, {"/delay_seconds": "wrong_type"}),
        ({"delay_seconds": [60]}, {"/delay_seconds": "wrong_type"}),
        ({"run_at": "2026-01-15T11:58:59Z"}, {"/run_at": "in_the_past"}),
        ({"run_at": "1970-01-01T00:00:00Z"}, {"/run_at": "in_the_past"}),
        ({"run_at": "0001-01-01T00:00:00Z"}, {"/run_at": "in_the_past"}),
        ({"run_at": "0001-01-01T00:00:00+14:00"}, {"/run_at": "*"}),
        ({"run_at": "9999-12-31T23:59:59Z"}, {"/run_at": "too_far"}),
        ({"run_at": "9999-12-31T23:59:59-14:00"}, {"/run_at": "*"}),
        ({"run_at": "2036-01-13T12:00:01Z"}, {"/run_at": "too_far"}),
        ({"run_at": "2026-02-01T00:00:00"}, {"/run_at": "invalid"}),
        ({"run_at": "2026-02-01"}, {"/run_at": "invalid"}),
        ({"run_at": "2026-02-30T00:00:00Z"}, {"/run_at": "invalid"}),
        ({"run_at": "2026-02-01T24:00:00Z"}, {"/run_at": "invalid"}),
        ({"run_at": "2026-02-01T00:00:00+25:00"}, {"/run_at": "invalid"}),
        ({"run_at": "tomorrow"}, {"/run_at": "invalid"}),
        ({"run_at": ""}, {"/run_at": "invalid"}),
        ({"run_at": "2026-02-01T00:00:00Z" + "0" * 1000}, {"/run_at": "invalid"}),
        ({"run_at": 1_768_478_400}, {"/run_at": "wrong_type"}),
        ({"cron_expression": "* * * * *", "delay_seconds": 1}, {"/cron_expression": "field_of_other_type"}),
    ],
)
def test_a_delayed_task_needs_one_time_that_can_be_meant(
    parser: Parser, fields: dict[str, object], expected: dict[str, str]
) -> None:
    found = codes(parser, delayed(**fields))
    assert found == {pointer: found.get(pointer) if code == "*" else code for pointer, code in expected.items()}


def test_a_bad_moment_says_how_a_good_one_looks(parser: Parser) -> None:
    assert "2026-01-31T09:00:00+08:00" in problems(parser, delayed(run_at="2026-02-01T00:00:00"))["/run_at"].message


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"cron_expression": None}, {"/cron_expression": "missing"}),
        ({"cron_expression": ""}, {"/cron_expression": "too_small"}),
        ({"cron_expression": "0 0 31 2 *"}, {"/cron_expression": "never_fires"}),
        ({"cron_expression": "* * * *"}, {"/cron_expression": "cron_field_count"}),
        ({"cron_expression": "x" * 257}, {"/cron_expression": "too_large"}),
        ({"cron_expression": "* " * 127 + "*"}, {"/cron_expression": "cron_field_count"}),
        ({"cron_expression": 5}, {"/cron_expression": "wrong_type"}),
        ({"cron_expression": "R * * * *"}, {"/cron_expression": "cron_random"}),
        ({"timezone": "Mars/Olympus"}, {"/timezone": "unknown_timezone"}),
        ({"timezone": "../../etc/passwd"}, {"/timezone": "unknown_timezone"}),
        ({"timezone": ""}, {"/timezone": "too_small"}),
        ({"timezone": "x" * 65}, {"/timezone": "too_large"}),
        ({"timezone": "UTC\x00"}, {"/timezone": "unknown_timezone"}),
        ({"timezone": 8}, {"/timezone": "wrong_type"}),
        ({"end_at": "2026-01-15T13:00:00Z"}, {"/end_at": "never_fires"}),
        ({"start_at": "2026-02-01T00:00:00"}, {"/start_at": "invalid"}),
        ({"start_at": "2026-02-02T00:00:00Z", "end_at": "2026-02-01T00:00:00Z"}, {"/end_at": "before_start"}),
        ({"max_runs": 0}, {"/max_runs": "too_small"}),
        ({"max_runs": 1.0}, {"/max_runs": "wrong_type"}),
        ({"max_runs": 10**12}, {"/max_runs": "too_large"}),
        ({"overlap": "never"}, {"/overlap": "invalid"}),
        ({"misfire": "twice"}, {"/misfire": "invalid"}),
        ({"misfire_limit": 0}, {"/misfire_limit": "too_small"}),
        ({"misfire_limit": 1001}, {"/misfire_limit": "too_large"}),
        ({"delay_seconds": 5}, {"/delay_seconds": "field_of_other_type"}),
        ({"run_at": "2026-02-01T00:00:00Z"}, {"/run_at": "field_of_other_type"}),
    ],
)
def test_a_scheduled_task_needs_a_schedule_that_fires(
    parser: Parser, fields: dict[str, object], expected: dict[str, str]
) -> None:
    body = scheduled(**fields)
    if body["cron_expression"] is None:
        del body["cron_expression"]
    assert codes(parser, body) == expected


@pytest.mark.parametrize("name", ["delay_seconds", "run_at", "cron_expression", "timezone", "max_runs", "overlap"])
def test_an_immediate_task_has_no_time(parser: Parser, name: str) -> None:
    values = {"delay_seconds": 1, "run_at": "2026-02-01T00:00:00Z", "max_runs": 1, "overlap": "skip"}
    found = problems(parser, echo(**{name: values.get(name, "* * * * *" if "cron" in name else "UTC")}))
    assert {pointer: problem.code for pointer, problem in found.items()} == {f"/{name}": "field_of_other_type"}
    assert "immediate" in found[f"/{name}"].message


def test_an_unknown_type_is_told_the_known_ones_and_the_rest_is_still_looked_at(parser: Parser) -> None:
    found = problems(parser, echo(task_type="later", name=""))
    assert {pointer: problem.code for pointer, problem in found.items()} == {
        "/task_type": "invalid",
        "/name": "too_small",
    }
    assert all(word in found["/task_type"].message for word in TaskType)


def test_one_bad_field_does_not_hide_what_depends_on_others(parser: Parser) -> None:
    assert codes(parser, delayed(name="", priority="x")) == {
        "/name": "too_small",
        "/priority": "invalid",
        "/delay_seconds": "missing",
    }
    assert codes(parser, scheduled(max_runs=0, cron_expression="0 0 31 2 *", timeout=601)) == {
        "/max_runs": "too_small",
        "/cron_expression": "never_fires",
        "/timeout": "too_large",
    }


# --- the code kind -----------------------------------------------------------------------------------------------


def test_code_without_a_function_name_lacks_it_and_the_reverse(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    kinds = build_kinds(settings)
    parser = Parser(kinds, settings)
    try:
        assert codes(parser, {**code_body(), "function_nam": "f"}) == {"/function_nam": "unknown_field"}
        body = code_body()
        del body["function_name"]
        assert codes(parser, body) == {"/function_name": "missing"}
        body = code_body()
        del body["function_code"]
        assert codes(parser, body) == {"/function_code": "missing"}
        assert codes(parser, code_body(function_code="")) == {"/function_code": "too_small"}
        assert codes(parser, code_body(function_name="g")) == {"/function_name": "function_not_found"}
        bad = code_body(args={}, kwargs=[], function_code="def f(:\n")
        assert codes(parser, bad) == {"/args": "wrong_type", "/kwargs": "wrong_type", "/function_code": "syntax_error"}
        assert codes(parser, code_body(api_url="https://example.com")) == {"": "several_kinds"}
        assert codes(parser, code_body(method="GET")) == {"/method": "field_of_other_kind"}
        (problem,) = problems(parser, code_body(function_code="def f():\n    import os\n")).values()
        assert (problem.pointer, problem.code, problem.line) == ("/function_code", "import_not_allowed", 2)
        assert problem.column is not None
    finally:
        for kind in kinds.values():
            kind.close()
