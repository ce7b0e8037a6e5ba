from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.schedule import (
    FIRED_AT_ONCE,
    SKIPPED_LISTED,
    At,
    Cron,
    InvalidSchedule,
    Misfire,
    Now,
    Touch,
    due_occurrences,
    parse_cron,
    remarks,
)
from tasks.wall_clock import zone_names

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def local(moments: list[int], zone: str) -> list[str]:
    return [datetime.fromtimestamp(moment / 1000, ZoneInfo(zone)).isoformat() for moment in moments]


def cron(expression: str, zone: str = "UTC", **more: int) -> Cron:
    return Cron(expression=expression, zone=zone, key="task-1", **more)


def within(schedule: Cron, after: int, until: int) -> list[int]:
    found: list[int] = []
    due = schedule.next_after(after)
    while due is not None and due <= until:
        found.append(due)
        due = schedule.next_after(due)
    return found


# What happens on the days on which a clock jumps: from 00:00 on the first day (as the zone counts) for a while, the
# local times with their offsets at which the schedule runs.
JUMPS = [
    # America/New_York, spring: 02:00 to 03:00 does not exist
    ("30 2 * * *", "America/New_York", "2026-03-08T00:00-05:00", 24, ["2026-03-08T03:00:00-04:00"]),
    ("0,15,30 2 * * *", "America/New_York", "2026-03-08T00:00-05:00", 24, ["2026-03-08T03:00:00-04:00"]),
    (
        "30 2,3 * * *",
        "America/New_York",
        "2026-03-08T00:00-05:00",
        23,
        ["2026-03-08T03:00:00-04:00", "2026-03-08T03:30:00-04:00"],
    ),
    ("0 2,3 * * *", "America/New_York", "2026-03-08T00:00-05:00", 23, ["2026-03-08T03:00:00-04:00"]),
    (
        "0 */2 * * *",
        "America/New_York",
        "2026-03-07T23:30-05:00",
        5,
        ["2026-03-08T00:00:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-08T04:00:00-04:00"],
    ),
    (
        "*/30 * * * *",
        "America/New_York",
        "2026-03-08T01:00-05:00",
        2,
        [
            "2026-03-08T01:30:00-05:00",
            "2026-03-08T03:00:00-04:00",
            "2026-03-08T03:30:00-04:00",
            "2026-03-08T04:00:00-04:00",
        ],
    ),
    (
        "15 * * * *",
        "America/New_York",
        "2026-03-08T01:00-05:00",
        2,
        ["2026-03-08T01:15:00-05:00", "2026-03-08T03:15:00-04:00"],
    ),
    ("30 2 8 3 *", "America/New_York", "2026-03-08T00:00-05:00", 48, ["2026-03-08T03:00:00-04:00"]),
    ("15 30 2 * * *", "America/New_York", "2026-03-08T00:00-05:00", 24, ["2026-03-08T03:00:00-04:00"]),
    # autumn: 01:00 to 02:00 comes twice
    ("30 1 * * *", "America/New_York", "2026-11-01T00:00-04:00", 24, ["2026-11-01T01:30:00-04:00"]),
    (
        "0 1-3 * * *",
        "America/New_York",
        "2026-11-01T00:00-04:00",
        24,
        ["2026-11-01T01:00:00-04:00", "2026-11-01T02:00:00-05:00", "2026-11-01T03:00:00-05:00"],
    ),
    (
        "0 1/2 * * *",
        "America/New_York",
        "2026-11-01T00:00-04:00",
        4,
        ["2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T03:00:00-05:00"],
    ),
    (
        "*/30 * * * *",
        "America/New_York",
        "2026-11-01T00:45-04:00",
        2,
        [
            "2026-11-01T01:00:00-04:00",
            "2026-11-01T01:30:00-04:00",
            "2026-11-01T01:00:00-05:00",
            "2026-11-01T01:30:00-05:00",
        ],
    ),
    # Europe: London and Dublin jump together although Dublin calls its winter the saved time
    ("30 1 * * *", "Europe/London", "2026-03-29T00:00+00:00", 24, ["2026-03-29T02:00:00+01:00"]),
    ("30 1 * * *", "Europe/Dublin", "2026-03-29T00:00+00:00", 24, ["2026-03-29T02:00:00+01:00"]),
    ("30 1 * * *", "Europe/Dublin", "2026-10-25T00:00+01:00", 24, ["2026-10-25T01:30:00+01:00"]),
    # half an hour
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-04T00:00+10:30", 24, ["2026-10-04T02:30:00+11:00"]),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-05T00:00+11:00", 24, ["2026-04-05T01:45:00+11:00"]),
    (
        "45 * * * *",
        "Australia/Lord_Howe",
        "2026-04-05T01:30+11:00",
        1,
        ["2026-04-05T01:45:00+11:00", "2026-04-05T01:45:00+10:30"],
    ),
    # two hours
    ("30 1,2 * * *", "Antarctica/Troll", "2026-03-29T00:00+00:00", 22, ["2026-03-29T03:00:00+02:00"]),
    ("30 1 * * *", "Antarctica/Troll", "2026-10-25T00:00+02:00", 24, ["2026-10-25T01:30:00+02:00"]),
    # Ramadan
    ("30 2 * * *", "Africa/Casablanca", "2025-02-23T00:00+01:00", 24, ["2025-02-23T02:30:00+01:00"]),
    ("30 2 * * *", "Africa/El_Aaiun", "2025-04-06T00:00+00:00", 22, ["2025-04-06T03:00:00+01:00"]),
    # midnight
    ("0 0 * * *", "Asia/Beirut", "2026-03-28T12:00+02:00", 24, ["2026-03-29T01:00:00+03:00"]),
    ("@daily", "America/Havana", "2026-03-07T12:00-05:00", 24, ["2026-03-08T01:00:00-04:00"]),
    ("30 0 * * *", "America/Havana", "2026-10-31T23:00-04:00", 12, ["2026-11-01T00:30:00-04:00"]),
    ("0 0 * * *", "America/Santiago", "2026-09-05T12:00-04:00", 24, ["2026-09-06T01:00:00-03:00"]),
    ("30 23 * * *", "America/Santiago", "2026-04-04T12:00-03:00", 24, ["2026-04-04T23:30:00-03:00"]),
    ("0 0 * * *", "America/Asuncion", "2023-09-30T12:00-04:00", 24, ["2023-10-01T01:00:00-03:00"]),
    ("30 23 * * *", "America/Asuncion", "2024-03-23T12:00-03:00", 24, ["2024-03-23T23:30:00-03:00"]),
    # the date line: a day that never was, a day that was twice
    (
        "0 12 * * *",
        "Pacific/Apia",
        "2011-12-29T00:00-10:00",
        48,
        ["2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00"],
    ),
    ("0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00-10:00", 72, ["2011-12-31T00:00:00+14:00"]),
    (
        "0 */12 * * *",
        "Pacific/Apia",
        "2011-12-29T01:00-10:00",
        48,
        [
            "2011-12-29T12:00:00-10:00",
            "2011-12-31T00:00:00+14:00",
            "2011-12-31T12:00:00+14:00",
            "2012-01-01T00:00:00+14:00",
        ],
    ),
    ("0 12 * * *", "Pacific/Kwajalein", "1993-08-20T13:00-12:00", 12, ["1993-08-22T00:00:00+12:00"]),
    ("0 12 30 9 *", "Pacific/Kwajalein", "1969-09-29T00:00+11:00", 96, ["1969-09-30T12:00:00+11:00"]),
    # an offset of 44 minutes and 30 seconds
    ("30 0 * * *", "Africa/Monrovia", "1972-01-06T12:00-00:44:30", 24, ["1972-01-07T00:44:30+00:00"]),
    ("50 0 * * *", "Africa/Monrovia", "1972-01-06T12:00-00:44:30", 24, ["1972-01-07T00:50:00+00:00"]),
    # no summer time, but a new offset
    ("10 0 * * *", "Asia/Kathmandu", "1985-12-31T12:00+05:30", 24, ["1986-01-01T00:15:00+05:45"]),
    ("45 23 * * *", "Asia/Pyongyang", "2015-08-14T12:00+09:00", 24, ["2015-08-14T23:45:00+09:00"]),
]


@pytest.mark.parametrize(("expression", "zone", "start", "hours", "expected"), JUMPS)
def test_a_jump_of_the_clock_is_met_as_documented(
    expression: str, zone: str, start: str, hours: int, expected: list[str]
) -> None:
    begin = ms(start)
    assert local(within(cron(expression, zone), begin, begin + hours * HOUR), zone) == expected


# A second opinion: walk every minute of real time around a jump, look at the clock, and match it by a tiny matcher.


@dataclass(frozen=True)
class Field:
    text: str
    values: frozenset[int]
    rhythm: str = "fixed"


@dataclass(frozen=True)
class Expression:
    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    @property
    def text(self) -> str:
        return " ".join(field.text for field in (self.minute, self.hour, self.day, self.month, self.weekday))


def _star(low: int, high: int) -> st.SearchStrategy[Field]:
    return st.just(Field("*", frozenset(range(low, high + 1)), "every"))


def _step(low: int, high: int) -> st.SearchStrategy[Field]:
    return st.integers(2, high - low).map(lambda n: Field(f"*/{n}", frozenset(range(low, high + 1, n)), "step"))


def _late_step(low: int, high: int) -> st.SearchStrategy[Field]:
    steps = st.integers(2, (high - low) // 2).flatmap(lambda n: st.tuples(st.just(n), st.integers(low, low + n - 1)))
    return steps.map(lambda pair: Field(f"{pair[1]}/{pair[0]}", frozenset(range(pair[1], high + 1, pair[0])), "step"))


def _list(low: int, high: int) -> st.SearchStrategy[Field]:
    values = st.sets(st.integers(low, high), min_size=1, max_size=4)
    return values.map(lambda found: Field(",".join(map(str, found)), frozenset(found)))


def _range(low: int, high: int) -> st.SearchStrategy[Field]:
    ends = st.tuples(st.integers(low, high - 1), st.integers(low + 1, high)).filter(lambda pair: pair[0] < pair[1])
    return ends.map(lambda pair: Field(f"{pair[0]}-{pair[1]}", frozenset(range(pair[0], pair[1] + 1))))


def _fields(low: int, high: int) -> st.SearchStrategy[Field]:
    return st.one_of(_star(low, high), _step(low, high), _list(low, high), _range(low, high))


HOURS = st.one_of(_star(0, 23), _step(0, 23), _late_step(0, 23), _list(0, 23), _list(0, 3), _range(0, 23))
EXPRESSIONS = st.builds(
    Expression,
    minute=_fields(0, 59),
    hour=HOURS,
    day=st.one_of(_star(1, 31), _star(1, 31), _star(1, 31), _list(1, 31), st.just(Field("L", frozenset()))),
    month=st.one_of(_star(1, 12), _star(1, 12), _fields(1, 12)),
    weekday=st.one_of(_star(0, 6), _star(0, 6), _list(0, 6)),
)
#: Every rhythm once, close around the hours in which clocks jump.
CLOSE = [
    Expression(
        Field("*/15", frozenset({0, 15, 30, 45})),
        hour,
        Field("*", frozenset(range(1, 32))),
        Field("*", frozenset(range(1, 13))),
        Field("*", frozenset(range(7))),
    )
    for hour in (
        Field("*", frozenset(range(24)), "every"),
        Field("*/2", frozenset(range(0, 24, 2)), "step"),
        Field("1/2", frozenset(range(1, 24, 2)), "step"),
        Field("0-3,23", frozenset({0, 1, 2, 3, 23})),
    )
]


@lru_cache(maxsize=10_000)
def on_day(expression: Expression, day: int) -> bool:
    """Whether the expression names this day, counted from 1970-01-01."""
    shown = date(1970, 1, 1) + timedelta(days=day)
    if shown.month not in expression.month.values:
        return False
    is_last = (shown + timedelta(days=1)).day == 1
    by_date = is_last if expression.day.text == "L" else shown.day in expression.day.values
    by_weekday = shown.isoweekday() % 7 in expression.weekday.values
    both = expression.day.text != "*" and expression.weekday.text != "*"
    return (by_date or by_weekday) if both else (by_date and by_weekday)


def matches(expression: Expression, wall: int) -> bool:
    """Whether the expression names what a clock shows, in minutes since 1970-01-01 00:00."""
    if wall % 60 not in expression.minute.values or wall // 60 % 24 not in expression.hour.values:
        return False
    return on_day(expression, wall // 1440)


@lru_cache(maxsize=64)
def clock(zone: str, begin: int, minutes: int) -> tuple[int, ...]:
    """What the clock shows in each minute from `begin` (UTC minutes), as minutes since 1970 on that clock."""
    info = ZoneInfo(zone)
    shifts = (datetime.fromtimestamp(utc * 60, info).utcoffset() for utc in range(begin, begin + minutes))
    return tuple(
        utc + shift.seconds // 60 + shift.days * 1440 for utc, shift in enumerate(shifts, begin) if shift is not None
    )


def walked(expression: Expression, zone: str, begin: int, minutes: int) -> list[int]:
    """The moments from one day after `begin` on at which the schedule has to run, by walking."""
    walls = clock(zone, begin, minutes)
    rhythm = "every" if len(expression.hour.values) == 24 else expression.hour.rhythm
    found, highest = [], walls[0]
    for index, wall in enumerate(walls):
        shown = matches(expression, wall)
        news = range(highest + 1, wall + 1)
        passed = shown if len(news) == 1 else any(matches(expression, reached) for reached in news)
        fires = {"fixed": passed, "every": shown, "step": passed or shown}[rhythm]
        highest = max(highest, wall)
        if fires and index > 1440:
            found.append((begin + index) * MINUTE)
    return found


@lru_cache(maxsize=4)
def jumps(first: date, last: date) -> tuple[tuple[str, int], ...]:
    """Days (as UTC minutes) in which a zone's offset changes; zones that always agree are there once."""
    days = [
        int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp()) + 86_400 * day
        for day in range((last - first).days)
    ]
    seen: dict[tuple[int, ...], str] = {}
    for zone in sorted(zone_names()):
        info = ZoneInfo(zone)
        shifts = [datetime.fromtimestamp(day, info).utcoffset() for day in days]
        seen.setdefault(tuple(int(shift.total_seconds()) for shift in shifts if shift is not None), zone)
    return tuple(
        (zone, days[index - 1] // 60)
        for offsets, zone in seen.items()
        for index in range(1, len(days))
        if offsets[index] != offsets[index - 1]
    )


def check_around(expression: Expression, zone: str, day: int) -> None:
    """The schedule agrees with the walk from the day of a jump to two days after: forwards, backwards, counted."""
    begin, minutes = day - 1440, 4 * 1440
    expected = walked(expression, zone, begin, minutes)
    schedule = cron(expression.text, zone)
    after, until = (begin + 1440) * MINUTE, (begin + minutes - 1) * MINUTE
    assert within(schedule, after, until) == expected
    assert schedule.count(after, until) == len(expected)
    backwards, moment = [], until
    while (due := schedule.latest_until(moment)) is not None and due > after:
        backwards.append(due)
        moment = due - 1
    assert backwards[::-1] == expected


TEN_YEARS = (date(2026, 1, 1), date(2036, 1, 1))


def test_every_jump_of_ten_years_is_met_by_one_of_the_rhythms() -> None:
    found = jumps(*TEN_YEARS)
    assert {"America/New_York", "Australia/Lord_Howe", "Antarctica/Troll"} & {zone for zone, _ in found}
    for number, (zone, day) in enumerate(found):
        check_around(CLOSE[number % len(CLOSE)], zone, day)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(expression=EXPRESSIONS, pick=st.integers(0, 100_000))
def test_any_expression_agrees_with_a_walk_through_any_jump(expression: Expression, pick: int) -> None:
    found = jumps(*TEN_YEARS)
    check_around(expression, *found[pick % len(found)])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_jump_since_1973_is_met_by_one_of_the_rhythms() -> None:
    # From then on all offsets are whole minutes, which is as fine as the walk is.
    for number, (zone, day) in enumerate(jumps(date(1973, 1, 1), date(2038, 1, 1))):
        check_around(CLOSE[number % len(CLOSE)], zone, day)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(derandomize=True, max_examples=3000, deadline=None)
@given(expression=EXPRESSIONS, pick=st.integers(0, 1_000_000))
def test_any_expression_agrees_with_a_walk_through_any_jump_since_1973(expression: Expression, pick: int) -> None:
    found = jumps(date(1973, 1, 1), date(2038, 1, 1))
    check_around(expression, *found[pick % len(found)])


def test_seconds_agree_with_a_walk_through_a_jump_of_odd_seconds() -> None:
    # Monrovia went from -00:44:30 to 0 on 1972-01-07 at 00:44:30 UTC.
    schedule, info = cron("*/20 * 0 * * *", "Africa/Monrovia"), ZoneInfo("Africa/Monrovia")
    begin = ms("1972-01-06T22:00:00Z") // 1000
    highest, expected = 0, []
    for utc in range(begin, begin + 6 * 3600):
        shift = datetime.fromtimestamp(utc, info).utcoffset()
        assert shift is not None
        wall = utc + int(shift.total_seconds())
        news = range(highest + 1 if highest else wall, wall + 1)
        if any(reached % 20 == 0 and reached // 3600 % 24 == 0 for reached in news):
            expected.append(utc * 1000)
        highest = wall
    # At the jump for all that it passes over, then from 00:44:40 to 00:59:40.
    assert len(expected) == 1 + 46
    assert within(schedule, begin * 1000 - 1, (begin + 6 * 3600 - 1) * 1000) == expected


# Between the jumps


def test_now_is_never_due_again_and_a_moment_once() -> None:
    assert Now().next_after(0) is None
    assert At(5000).next_after(4999) == 5000
    assert At(5000).next_after(5000) is None


def test_the_next_occurrence_is_strictly_later() -> None:
    schedule = cron("0 0 * * *")
    midnight = ms("2026-05-01T00:00:00Z")
    assert schedule.next_after(midnight) == midnight + DAY
    assert schedule.next_after(midnight - 1) == midnight
    assert schedule.latest_until(midnight) == midnight
    assert schedule.latest_until(midnight - 1) == midnight - DAY


def test_both_ends_of_the_span_are_included() -> None:
    noon = ms("2026-05-01T12:00:00Z")
    schedule = cron("0 12 * * *", start_at=noon, end_at=noon + 2 * DAY)
    assert schedule.upcoming(0, 10) == [noon, noon + DAY, noon + 2 * DAY]
    assert schedule.next_after(noon + 2 * DAY) is None
    assert schedule.latest_until(noon - 1) is None
    assert schedule.count(0, noon + 9 * DAY) == 3


def test_a_start_between_two_seconds_waits_for_the_second() -> None:
    start = ms("2026-05-01T12:00:00Z")
    assert cron("* * * * * *", start_at=start + 1).next_after(0) == start + 1000


def test_upcoming_ends_with_the_schedule() -> None:
    assert cron("0 0 29 2 *", end_at=ms("2033-01-01T00:00:00Z")).upcoming(ms("2026-01-01T00:00:00Z"), 5) == [
        ms("2028-02-29T00:00:00Z"),
        ms("2032-02-29T00:00:00Z"),
    ]


def test_a_rare_day_far_away_is_found() -> None:
    # 2096-02-29 is followed by 2104-02-29, for 2100 is no leap year.
    assert cron("0 0 29 2 *", "Europe/Paris").next_after(ms("2096-03-01T00:00:00Z")) == ms("2104-02-29T00:00:00+01:00")


@pytest.mark.parametrize("moment", [-(10**18), -1, 0, 10**15, 10**18])
def test_moments_far_out_are_answered(moment: int) -> None:
    due = cron("0 0 * * *", "America/New_York").next_after(moment)
    assert due is None or due > moment


# Being away


def firing(schedule: Cron, due: str, now: str, misfire: Misfire, limit: int = 10):
    return due_occurrences(schedule, due_at=ms(due), now=ms(now), misfire=misfire, misfire_limit=limit, grace=MINUTE)


@pytest.mark.parametrize("misfire", Misfire)
def test_a_little_late_is_no_misfire(misfire: Misfire) -> None:
    found = firing(cron("0 * * * *"), "2026-05-01T10:00:00Z", "2026-05-01T10:00:59.999Z", misfire)
    assert found.fire == (ms("2026-05-01T10:00:00Z"),)
    assert (found.skipped, found.skipped_more) == ((), 0)
    assert found.next_due == ms("2026-05-01T11:00:00Z")


@pytest.mark.parametrize(
    ("misfire", "limit", "fired", "skipped"),
    [
        (Misfire.ONCE, 10, ["13"], ["10", "11", "12"]),
        (Misfire.SKIP, 10, [], ["10", "11", "12", "13"]),
        (Misfire.ALL, 10, ["10", "11", "12", "13"], []),
        (Misfire.ALL, 3, ["11", "12", "13"], ["10"]),
    ],
)
def test_after_four_missed_hours_the_policy_decides(
    misfire: Misfire, limit: int, fired: list[str], skipped: list[str]
) -> None:
    found = firing(cron("0 * * * *"), "2026-05-01T10:00:00Z", "2026-05-01T13:30:00Z", misfire, limit)
    assert found.fire == tuple(ms(f"2026-05-01T{hour}:00:00Z") for hour in fired)
    assert found.skipped == tuple(ms(f"2026-05-01T{hour}:00:00Z") for hour in skipped)
    assert found.skipped_more == 0
    assert found.next_due == ms("2026-05-01T14:00:00Z")


@pytest.mark.parametrize(
    ("misfire", "fired", "skipped"),
    [
        (Misfire.ONCE, ["12"], ["10", "11"]),
        (Misfire.SKIP, ["12"], ["10", "11"]),
        (Misfire.ALL, ["10", "11", "12"], []),
    ],
)
def test_back_on_time_for_the_last_one(misfire: Misfire, fired: list[str], skipped: list[str]) -> None:
    found = firing(cron("0 * * * *"), "2026-05-01T10:00:00Z", "2026-05-01T12:00:30Z", misfire)
    assert found.fire == tuple(ms(f"2026-05-01T{hour}:00:00Z") for hour in fired)
    assert found.skipped == tuple(ms(f"2026-05-01T{hour}:00:00Z") for hour in skipped)


def test_exactly_the_grace_is_a_misfire() -> None:
    found = firing(cron("0 * * * *"), "2026-05-01T10:00:00Z", "2026-05-01T10:01:00Z", Misfire.SKIP)
    assert (found.fire, found.skipped) == ((), (ms("2026-05-01T10:00:00Z"),))


def test_a_month_away_from_every_second_is_counted_to_the_last_one() -> None:
    due, month = ms("2026-05-01T00:00:00Z"), 30 * DAY
    expected = month // 1000 + 1
    for misfire, fired in ((Misfire.ONCE, 1), (Misfire.SKIP, 60), (Misfire.ALL, 65)):
        found = due_occurrences(
            cron("* * * * * *", "America/New_York"),
            due_at=due,
            now=due + month,
            misfire=misfire,
            misfire_limit=5,
            grace=MINUTE,
        )
        assert len(found.fire) == fired
        assert found.fire[-1] == due + month
        assert len(found.skipped) == SKIPPED_LISTED
        assert found.skipped[-1] == found.fire[0] - 1000
        assert found.fire[0] - found.skipped[0] == SKIPPED_LISTED * 1000
        assert fired + len(found.skipped) + found.skipped_more == expected
        assert found.next_due == due + month + 1000


def test_a_long_grace_does_not_start_thousands_of_runs() -> None:
    due = ms("2026-05-01T00:00:00Z")
    found = due_occurrences(
        cron("* * * * * *"), due_at=due, now=due + HOUR, misfire=Misfire.ALL, misfire_limit=10, grace=DAY
    )
    assert len(found.fire) == FIRED_AT_ONCE
    assert len(found.fire) + len(found.skipped) + found.skipped_more == 3601


def test_occurrences_missed_through_a_spring_night_count_the_moved_one_once() -> None:
    schedule = cron("0,30 2 * * *", "America/New_York")
    found = firing(schedule, "2026-03-07T02:00:00-05:00", "2026-03-09T12:00:00-04:00", Misfire.ALL)
    assert local(list(found.fire), "America/New_York") == [
        "2026-03-07T02:00:00-05:00",
        "2026-03-07T02:30:00-05:00",
        "2026-03-08T03:00:00-04:00",
        "2026-03-09T02:00:00-04:00",
        "2026-03-09T02:30:00-04:00",
    ]


def test_a_due_moment_that_is_no_occurrence_any_more_still_counts() -> None:
    # The rules of a zone, or the expression, may have changed since the due moment was stored.
    found = firing(cron("0 * * * *"), "2026-05-01T10:20:00Z", "2026-05-01T11:10:00Z", Misfire.ALL)
    assert found.fire == (ms("2026-05-01T10:20:00Z"), ms("2026-05-01T11:00:00Z"))


def test_what_is_not_due_yet_stays_due() -> None:
    found = firing(cron("0 * * * *"), "2026-05-01T10:00:00Z", "2026-05-01T09:59:59Z", Misfire.ONCE)
    assert (found.fire, found.skipped, found.next_due) == ((), (), ms("2026-05-01T10:00:00Z"))


def test_a_schedule_that_ended_meanwhile_has_no_next_time() -> None:
    schedule = cron("0 * * * *", end_at=ms("2026-05-01T11:00:00Z"))
    found = firing(schedule, "2026-05-01T10:00:00Z", "2026-05-01T18:00:00Z", Misfire.ONCE)
    assert found.fire == (ms("2026-05-01T11:00:00Z"),)
    assert found.skipped == (ms("2026-05-01T10:00:00Z"),)
    assert found.next_due is None


@settings(derandomize=True, max_examples=150, deadline=None)
@given(
    expression=EXPRESSIONS,
    zone=st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]),
    start=st.integers(ms("2011-12-20T00:00:00Z"), ms("2012-12-20T00:00:00Z")),
    away=st.integers(0, 3 * DAY),
    misfire=st.sampled_from(Misfire),
    limit=st.integers(1, 50),
    grace=st.sampled_from([1, MINUTE, HOUR]),
)
def test_every_occurrence_while_away_runs_or_is_skipped_once(
    expression: Expression, zone: str, start: int, away: int, misfire: Misfire, limit: int, grace: int
) -> None:
    schedule = cron(expression.text, zone)
    try:
        due = schedule.next_after(start)
    except InvalidSchedule:
        return
    assert due is not None
    now = due + away
    found = due_occurrences(schedule, due_at=due, now=now, misfire=misfire, misfire_limit=limit, grace=grace)
    everything = [due, *within(schedule, due, now)]
    listed = [*found.skipped, *found.fire]
    assert listed == everything[len(everything) - len(listed) :]
    assert found.skipped_more == len(everything) - len(listed)
    assert found.next_due == schedule.next_after(now)
    missed = [moment for moment in everything if now - moment >= grace]
    punctual = len(everything) - len(missed)
    expected = {
        Misfire.ONCE: 1 if missed else punctual,
        Misfire.SKIP: punctual,
        Misfire.ALL: punctual + min(len(missed), limit),
    }[misfire]
    assert len(found.fire) == min(expected, FIRED_AT_ONCE)


# Remarks


def test_a_moved_time_is_remarked_with_the_time_that_was_meant() -> None:
    schedule = cron("30 2 * * *", "America/New_York")
    upcoming = schedule.upcoming(ms("2026-03-07T00:00-05:00"), 3)
    (remark,) = remarks(schedule, upcoming)
    assert (remark.moment, remark.touch, remark.wall) == (upcoming[1], Touch.MOVED, "2026-03-08 02:30:00")


def test_a_repeated_time_is_remarked_once_or_for_both() -> None:
    fixed = cron("30 1 * * *", "America/New_York")
    (remark,) = remarks(fixed, fixed.upcoming(ms("2026-10-31T00:00-04:00"), 3))
    assert (remark.touch, remark.wall) == (Touch.FIRST_ONLY, "2026-11-01 01:30:00")
    hourly = cron("30 * * * *", "America/New_York")
    found = remarks(hourly, hourly.upcoming(ms("2026-11-01T00:00-04:00"), 6))
    assert [remark.touch for remark in found] == [Touch.BOTH, Touch.BOTH]
    assert found[1].moment - found[0].moment == HOUR


def test_ordinary_occurrences_get_no_remark() -> None:
    schedule = cron("0 12 * * *", "America/New_York")
    assert remarks(schedule, schedule.upcoming(ms("2026-03-01T00:00Z"), 300)) == []
    hourly = cron("0 * * * *", "America/New_York")
    assert remarks(hourly, hourly.upcoming(ms("2026-03-08T00:00-05:00"), 6)) == []


# What a submission may ask for


def problems(**over) -> list[tuple[str, str]]:
    fields = {"expression": "0 0 * * *", "timezone": "UTC", "key": "task-1", "now": ms("2026-05-01T12:00:00Z")} | over
    with pytest.raises(InvalidSchedule) as caught:
        parse_cron(**fields)
    return [(problem.pointer, problem.code) for problem in caught.value.problems]


def test_a_valid_submission_is_a_schedule_that_runs() -> None:
    now = ms("2026-05-01T12:00:00Z")
    schedule = parse_cron(expression="0 0 * * *", timezone="Asia/Shanghai", key="task-1", now=now)
    assert schedule == Cron(expression="0 0 * * *", zone="Asia/Shanghai", key="task-1")
    assert schedule.next_after(now) == ms("2026-05-02T00:00:00+08:00")


def test_all_problems_are_told_at_once() -> None:
    assert problems(expression="*/90 * * * *", timezone="Mars/Base", end_at=0) == [
        ("/cron_expression", "cron_step"),
        ("/timezone", "unknown_timezone"),
        ("/end_at", "in_the_past"),
    ]


def test_an_end_before_the_first_run_is_refused() -> None:
    assert problems(end_at=ms("2026-05-01T23:59:59Z")) == [("/end_at", "never_fires")]
    parse_cron(
        expression="0 0 * * *",
        timezone="UTC",
        key="task-1",
        now=ms("2026-05-01T12:00:00Z"),
        end_at=ms("2026-05-02T00:00:00Z"),
    )


def test_an_end_before_the_start_is_refused() -> None:
    assert problems(start_at=ms("2026-06-01T00:00:00Z"), end_at=ms("2026-05-20T00:00:00Z")) == [
        ("/end_at", "before_start")
    ]


def test_a_start_beyond_the_calendar_is_refused() -> None:
    assert problems(start_at=ms("9999-06-01T00:00:00Z")) == [("/start_at", "too_far")]


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("america/new_york", "America/New_York"),
        ("New York", "America/New_York"),
        ("Asia/Shangai", "Asia/Shanghai"),
        ("Asia/Beijing", "Asia/Shanghai"),
        ("UTC+8", "Etc/GMT-8"),
        ("+08:00", "Etc/GMT-8"),
        ("utc", "UTC"),
    ],
)
def test_a_zone_that_is_nearly_right_gets_a_suggestion(name: str, suggestion: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        parse_cron(expression="0 0 * * *", timezone=name, key="task-1", now=0)
    assert f"did you mean {suggestion}?" in caught.value.problems[0].message


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../../etc/passwd",
        "/etc/localtime",
        "localtime",
        "Factory",
        "posixrules",
        "America/",
        ".",
        "UTC\x00",
        "右" * 999,
    ],
)
def test_what_is_no_zone_is_refused(name: str) -> None:
    assert problems(timezone=name) == [("/timezone", "unknown_timezone")]


# The page about it


def documented() -> list[list[str]]:
    page = Path(__file__).parents[2] / "docs" / "explain" / "schedules.md"
    rows = [line.strip("|\n ").split(" | ") for line in page.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if len(row) == 4 and re.fullmatch(r"\d{4}-\d\d-\d\d", row[2])]


def test_the_page_about_schedules_has_examples() -> None:
    assert len(documented()) > 5


@pytest.mark.parametrize(("expression", "zone", "day", "times"), documented())
def test_the_examples_on_the_page_are_true(expression: str, zone: str, day: str, times: str) -> None:
    begin = int(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)
    found = local(within(cron(expression.strip("`"), zone), begin - 1, begin + 23 * HOUR), zone)
    assert [f"{moment[11:16]}{moment[19:]}" for moment in found if moment.startswith(day)] == times.split()
