from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.cron_expression import ALIASES, LONGEST, read
from tasks.cron_field import InvalidSchedule
from tasks.cron_pattern import Pattern, Rhythm

START = datetime(2026, 1, 1, tzinfo=UTC)


def refusal(expression: str) -> tuple[str, str]:
    with pytest.raises(InvalidSchedule) as caught:
        read(expression, "task-1")
    (problem,) = caught.value.problems
    assert problem.pointer == "/cron_expression"
    return problem.code, problem.message


def upcoming(pattern: Pattern, count: int) -> list[datetime]:
    found, wall = [], int(START.timestamp())
    while len(found) < count:
        at = pattern.first_from(wall)
        assert at is not None
        found.append(datetime.fromtimestamp(at, UTC))
        wall = at + 1
    return found


def attempt(expression: str, key: str) -> tuple[Pattern | None, str | None]:
    try:
        return read(expression, key), None
    except InvalidSchedule as error:
        (problem,) = error.problems
        return None, problem.code


REFUSED = [
    ("", "cron_empty"),
    (" \t ", "cron_empty"),
    ("0 " * 200, "cron_too_long"),
    ("0 0 * *", "cron_field_count"),
    ("0", "cron_field_count"),
    ("0 0 * * * * *", "cron_year"),
    ("0 0 0 1 1 * 2030", "cron_year"),
    ("CRON_TZ=Asia/Tokyo 0 0 * * *", "cron_timezone_prefix"),
    ("TZ=Asia/Tokyo 0 0 * * *", "cron_timezone_prefix"),
    ("@reboot", "cron_alias"),
    ("@every 5m", "cron_alias"),
    ("@dailyy", "cron_alias"),
    ("R * * * *", "cron_random"),
    ("0 R(0-5) * * *", "cron_random"),
    ("r/5 * * * *", "cron_random"),
    ("60 * * * *", "cron_out_of_range"),
    ("0 24 * * *", "cron_out_of_range"),
    ("0 0 0 * *", "cron_out_of_range"),
    ("0 0 32 * *", "cron_out_of_range"),
    ("0 0 * 0 *", "cron_out_of_range"),
    ("0 0 * 13 *", "cron_out_of_range"),
    ("0 0 * * 8", "cron_out_of_range"),
    ("60 0 0 * * *", "cron_out_of_range"),
    ("0-60 * * * *", "cron_out_of_range"),
    ("H(0-60) * * * *", "cron_out_of_range"),
    ("0 0 * * FRI#6", "cron_out_of_range"),
    ("0 0 * * FRI#0", "cron_out_of_range"),
    ("*/0 * * * *", "cron_step"),
    ("*/60 * * * *", "cron_step"),
    ("*/90 * * * *", "cron_step"),
    ("0 */24 * * *", "cron_step"),
    ("0 0 */31 * *", "cron_step"),
    ("0 0 1 */12 *", "cron_step"),
    ("0 0 * * */7", "cron_step"),
    ("10-20/11 * * * *", "cron_step"),
    ("50/15 * * * *", "cron_step"),
    ("H/90 * * * *", "cron_step"),
    ("H/0 * * * *", "cron_step"),
    ("H(0-9)/20 * * * *", "cron_step"),
    ("5-5 * * * *", "cron_range"),
    ("0 0 * JAN-JAN *", "cron_range"),
    ("0 23-5/2 * * *", "cron_range"),
    ("H(9-9) * * * *", "cron_range"),
    ("H(9-5) * * * *", "cron_range"),
    ("H,30 * * * *", "cron_hash"),
    ("0 9-17,H * * *", "cron_hash"),
    ("0 0 L-3 * *", "cron_special"),
    ("0 0 LW * *", "cron_special"),
    ("0 0 W * *", "cron_special"),
    ("0 0 W15 * *", "cron_special"),
    ("0 0 0W * *", "cron_special"),
    ("0 0 31W * *", "cron_special"),
    ("0 0 1-5W * *", "cron_special"),
    ("0 0 15W,20 * *", "cron_special"),
    ("0 0 10W,20W * *", "cron_special"),
    ("0 0 15W * MON", "cron_special"),
    ("0 0 * * 5L", "cron_special"),
    ("0 0 * * FRIL", "cron_special"),
    ("0 0 * * L", "cron_special"),
    ("0 0 * * MON-FRI#2", "cron_special"),
    ("0 0 * * MON,FRI#2", "cron_special"),
    ("0 0 * * 0-6,FRI#2", "cron_special"),
    ("0 0 1 * FRI#2", "cron_special"),
    ("0 0 1 * L5", "cron_special"),
    ("0 L * * *", "cron_special"),
    ("1#2 * * * *", "cron_special"),
    ("L5 * * * *", "cron_special"),
    ("0 0 * * MONDAY", "cron_syntax"),
    ("0 0 * JANUARY *", "cron_syntax"),
    ("0 0 MON * *", "cron_syntax"),
    ("0 0 20-L * *", "cron_syntax"),
    ("? * * * *", "cron_syntax"),
    ("0 0 ?,1 * *", "cron_syntax"),
    ("1,,2 * * * *", "cron_syntax"),
    (",1 * * * *", "cron_syntax"),
    ("- * * * *", "cron_syntax"),
    ("-5 * * * *", "cron_syntax"),
    ("1- * * * *", "cron_syntax"),
    ("*/5/5 * * * *", "cron_syntax"),
    ("**/5 * * * *", "cron_syntax"),
    ("*-5 * * * *", "cron_syntax"),
    ("1.5 * * * *", "cron_syntax"),
    ("0 0 * * *\n", "cron_syntax"),
    ("0 0 * * *\x00", "cron_syntax"),
    ("0\u00a00 * * *", "cron_syntax"),
    ("\u0663 0 * * *", "cron_syntax"),
    ("0 0 * * *;id", "cron_syntax"),
    ("0 0 31 2 *", "never_fires"),
    ("0 0 30-31 FEB *", "never_fires"),
    ("0 0 31 4,6,9,11 *", "never_fires"),
]


@pytest.mark.parametrize(("expression", "code"), REFUSED)
def test_what_cannot_be_meant_is_refused_with_its_code(expression: str, code: str) -> None:
    found, message = refusal(expression)
    assert found == code
    assert message.endswith(".")
    assert len(message) < 250


@pytest.mark.parametrize(
    ("expression", "advice"),
    [
        ("*/90 * * * *", "use a smaller step"),
        ("5-5 * * * *", "write `5`"),
        ("0 0 * * 5L", "use `L5` for the last Friday"),
        ("R * * * *", "use H"),
        ("TZ=UTC 0 0 * * *", "use the field `timezone`"),
        ("0 0 * * * * 2030", "6 with seconds first"),
        ("0 0 * * MONDAY", "a name such as SUN"),
        ("@every 5m", "@hourly, @daily"),
    ],
)
def test_a_refusal_says_what_to_do(expression: str, advice: str) -> None:
    assert advice in refusal(expression)[1]


def test_an_expression_may_have_256_characters() -> None:
    longest = "0," * 123 + "0 0 * * *"
    assert len(longest) == LONGEST - 1
    assert read(f"{longest} ", "task-1").minutes == (0,)
    assert refusal(f"{longest}  ")[0] == "cron_too_long"


# Two more readers: what the expression names by hand, and croniter itself on a clock without jumps.


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 L * *", ["01-31 00:00:00", "02-28 00:00:00", "03-31 00:00:00"]),
        ("0 0 15,L * *", ["01-15 00:00:00", "01-31 00:00:00", "02-15 00:00:00"]),
        ("0 9 15W * *", ["01-15 09:00:00", "02-16 09:00:00", "03-16 09:00:00"]),
        ("0 9 1W * *", ["01-01 09:00:00", "02-02 09:00:00", "03-02 09:00:00"]),
        ("0 9 1W 8 *", ["08-03 09:00:00"]),
        ("0 9 28W 2 *", ["02-27 09:00:00"]),
        ("0 0 * * FRI#2", ["01-09 00:00:00", "02-13 00:00:00", "03-13 00:00:00"]),
        ("0 0 * * L5", ["01-30 00:00:00", "02-27 00:00:00", "03-27 00:00:00"]),
        ("0 0 * * 5#5", ["01-30 00:00:00", "05-29 00:00:00", "07-31 00:00:00"]),
        ("0 0 * * 7#1,MON#1", ["01-04 00:00:00", "01-05 00:00:00", "02-01 00:00:00"]),
        ("0 0 13 * FRI", ["01-02 00:00:00", "01-09 00:00:00", "01-13 00:00:00", "01-16 00:00:00"]),
        ("0 22-1 * * *", ["01-01 00:00:00", "01-01 01:00:00", "01-01 22:00:00"]),
        ("0 0 * * SAT-MON", ["01-03 00:00:00", "01-04 00:00:00", "01-05 00:00:00", "01-10 00:00:00"]),
        ("0 0 ? * 1", ["01-05 00:00:00", "01-12 00:00:00"]),
        ("0 0 1 * */1", ["01-01 00:00:00", "02-01 00:00:00"]),
        ("15 30 8 * * *", ["01-01 08:30:15", "01-02 08:30:15"]),
        ("*/20 * * * * *", ["01-01 00:00:00", "01-01 00:00:20", "01-01 00:00:40", "01-01 00:01:00"]),
        ("@Hourly", ["01-01 00:00:00", "01-01 01:00:00"]),
        ("@weekly", ["01-04 00:00:00", "01-11 00:00:00"]),
        ("@monthly", ["01-01 00:00:00", "02-01 00:00:00"]),
    ],
)
def test_the_first_times_of_2026(expression: str, expected: list[str]) -> None:
    found = upcoming(read(expression, "task-1"), len(expected))
    assert [f"{at:%m-%d %H:%M:%S}" for at in found] == expected


def _elements(low: int, high: int) -> st.SearchStrategy[str]:
    values = st.integers(low, high)
    spans = st.tuples(values, values).filter(lambda pair: pair[0] < pair[1])
    return st.one_of(
        values.map(str),
        spans.map(lambda pair: f"{pair[0]}-{pair[1]}"),
        st.tuples(spans, st.integers(1, 5)).map(lambda found: f"{found[0][0]}-{found[0][1]}/{found[1]}"),
        st.integers(2, high - low).map(lambda step: f"*/{step}"),
    )


def _hashes(low: int, high: int) -> st.SearchStrategy[str]:
    ends = st.tuples(st.integers(low, high - 1), st.integers(low + 1, high)).filter(lambda pair: pair[0] < pair[1])
    return st.one_of(
        st.just("H"),
        st.integers(2, high - low).map(lambda step: f"H/{step}"),
        ends.map(lambda pair: f"H({pair[0]}-{pair[1]})"),
        ends.map(lambda pair: f"H({pair[0]}-{pair[1]})/2"),
    )


def _fields(low: int, high: int) -> st.SearchStrategy[str]:
    elements = _elements(low, high)
    lists = st.lists(elements, min_size=1, max_size=3).map(",".join)
    return st.one_of(st.just("*"), elements, lists, _hashes(low, high))


DATES = st.one_of(st.just("*"), _fields(1, 31).filter(lambda text: "H" not in text), st.just("L"))
WEEKDAYS = st.one_of(
    st.just("*"), _fields(0, 6), st.sampled_from(["MON-FRI", "SAT,SUN", "FRI-MON", "7", "5-7", "1-7/2"])
)
DAYS = st.one_of(
    st.tuples(DATES, WEEKDAYS),
    st.tuples(st.integers(1, 28).map(lambda day: f"{day}W"), st.just("*")),
    st.tuples(st.just("*"), st.sampled_from(["FRI#2", "1#5", "L5", "L0,MON#1", "sun#1,3#3"])),
)
EXPRESSIONS = st.tuples(st.none() | _fields(0, 59), _fields(0, 59), _fields(0, 23), DAYS, _fields(1, 12)).map(
    lambda found: " ".join(
        part for part in (found[0], found[1], found[2], found[3][0], found[4], found[3][1]) if part is not None
    )
)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(expression=EXPRESSIONS, key=st.text(max_size=12))
def test_what_is_accepted_means_what_croniter_reads(expression: str, key: str) -> None:
    pattern, code = attempt(expression, key)
    if pattern is None:
        # A step wider than its range, or a day that no month has, is all that this grammar can get wrong.
        assert code in {"cron_step", "never_fires"}
        return
    theirs = croniter(expression, START - timedelta(seconds=1), datetime, hash_id=key, second_at_beginning=True)
    assert upcoming(pattern, 20) == [theirs.get_next() for _ in range(20)]


@settings(derandomize=True, max_examples=200, deadline=None)
@given(expression=EXPRESSIONS, start=st.integers(0, 4 * 10**9), span=st.integers(0, 40 * 86_400))
def test_counting_and_going_back_agree_with_going_forward(expression: str, start: int, span: int) -> None:
    try:
        pattern = read(expression, "task-1")
    except InvalidSchedule:
        return
    span = min(span, 200 * 86_400 // pattern.per_day)
    found, wall = [], pattern.first_from(start)
    while wall is not None and wall < start + span:
        found.append(wall)
        wall = pattern.first_from(wall + 1)
    assert pattern.count(start, start + span) == len(found)
    backwards, before = [], pattern.last_before(start + span)
    while before is not None and before >= start:
        backwards.append(before)
        before = pattern.last_before(before)
    assert backwards == found[::-1]


@settings(derandomize=True, max_examples=1500, deadline=None)
@given(
    st.one_of(
        st.text(alphabet="0123456789*/,-#?LWHR() MONJANFRI@\t", max_size=60),
        st.lists(st.text(alphabet="0123456789*/,-#?LWHR()", min_size=1, max_size=6), min_size=5, max_size=7).map(
            " ".join
        ),
        st.text(max_size=300),
    )
)
def test_nothing_but_a_refusal_comes_out_of_any_text(expression: str) -> None:
    pattern, code = attempt(expression, "task-1")
    assert pattern is None or pattern.first_from(0) is not None
    assert (pattern is None) == (code is not None)


# H


def test_h_stays_the_same_for_a_task_and_spreads_tasks() -> None:
    times = {read("H H * * *", f"task-{number}").first_from(0) for number in range(200)}
    assert len(times) > 100
    assert read("H H * * *", "task-7") is read("H H * * *", "task-7")


def test_h_as_a_day_is_in_every_month() -> None:
    days = {read("0 0 H * *", f"task-{number}").days.of_month for number in range(500)}
    assert days == {frozenset({day}) for day in range(1, 29)}


def test_an_alias_is_not_spread() -> None:
    assert {
        alias: read(alias, "task-1") is read(fields, "task-2") for alias, fields in ALIASES.items()
    } == dict.fromkeys(ALIASES, True)


# Which hours are fixed


@pytest.mark.parametrize(
    ("hours", "rhythm"),
    [
        ("*", Rhythm.EVERY_HOUR),
        ("0-23", Rhythm.EVERY_HOUR),
        ("*/1", Rhythm.EVERY_HOUR),
        ("0-11,12-23", Rhythm.EVERY_HOUR),
        ("*/2", Rhythm.STEP),
        ("1/3", Rhythm.STEP),
        ("H/6", Rhythm.STEP),
        ("*/4,*/6", Rhythm.STEP),
        ("2", Rhythm.FIXED),
        ("H", Rhythm.FIXED),
        ("0,12", Rhythm.FIXED),
        ("9-17", Rhythm.FIXED),
        ("9-17/2", Rhythm.FIXED),
        ("20/2", Rhythm.FIXED),
        ("*/6,1", Rhythm.FIXED),
        ("H(0-7)/2", Rhythm.FIXED),
    ],
)
def test_the_hour_field_decides_the_rhythm(hours: str, rhythm: Rhythm) -> None:
    assert read(f"0 {hours} * * *", "task-1").rhythm is rhythm
