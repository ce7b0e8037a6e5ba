from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from tasks.wall_clock import similar_zone, stretches_from, stretches_of, stretches_until, zone_names


def second(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    "zone", ["UTC", "America/New_York", "Africa/Casablanca", "Pacific/Apia", "Pacific/Kwajalein", "Antarctica/Troll"]
)
def test_the_stretches_of_a_year_follow_each_other_without_a_hole(zone: str) -> None:
    for year in (1969, 1993, 2011, 2026, 2090):
        stretches = stretches_of(zone, year)
        assert stretches[0].start == second(f"{year}-01-01T00:00:00Z")
        assert stretches[-1].end == second(f"{year + 1}-01-01T00:00:00Z")
        assert all(left.end == right.start for left, right in pairwise(stretches))
        for stretch in stretches:
            for moment in (stretch.start, (stretch.start + stretch.end) // 2, stretch.end - 1):
                shift = datetime.fromtimestamp(moment, ZoneInfo(zone)).utcoffset()
                assert shift == timedelta(seconds=stretch.offset)


def test_a_stretch_knows_how_far_the_clock_had_been() -> None:
    _, summer, winter = stretches_of("America/New_York", 2026)
    assert summer.start == second("2026-03-08T07:00:00Z")
    assert summer.wall_start - summer.reached == 3600
    assert winter.start == second("2026-11-01T06:00:00Z")
    assert winter.reached - winter.wall_start == 3600


def test_a_jump_shortly_before_new_year_is_remembered_in_the_new_year() -> None:
    # On 1969-12-31 nothing jumped in New York; Samoa lost 30 December 2011 and its clock went on from there.
    assert stretches_of("America/New_York", 1970)[0].reached == stretches_of("America/New_York", 1970)[0].wall_start
    before, after = stretches_of("Pacific/Apia", 2011)[-2:]
    assert (before.offset, after.offset) == (-10 * 3600, 14 * 3600)
    assert after.wall_start - after.reached == 86_400
    new_year = stretches_of("Pacific/Apia", 2012)[0]
    assert new_year.reached == new_year.wall_start


def test_stretches_go_forwards_and_backwards_from_a_moment() -> None:
    moment = second("2026-07-01T00:00:00Z")
    forwards = list(stretches_from("Europe/Paris", moment, 1))
    backwards = list(stretches_until("Europe/Paris", moment, 1))
    assert forwards[0] == backwards[0]
    assert forwards[0].start <= moment < forwards[0].end
    assert [stretch.start for stretch in forwards] == sorted(stretch.start for stretch in forwards)
    assert [stretch.start for stretch in backwards] == sorted((stretch.start for stretch in backwards), reverse=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_zone_has_changed_twice_within_a_day_and_back() -> None:
    """Days are compared to find changes; every hour since 1970 must agree with what that found."""
    for zone in sorted(zone_names()):
        info = ZoneInfo(zone)
        for year in range(1970, 2038):
            for stretch in stretches_of(zone, year):
                expected = timedelta(seconds=stretch.offset)
                for moment in range(stretch.start, stretch.end, 3600):
                    assert datetime.fromtimestamp(moment, info).utcoffset() == expected, (zone, moment)


def test_names_that_mean_another_zone_elsewhere_are_not_offered() -> None:
    assert not {"localtime", "Factory", "posixrules"} & zone_names()
    assert {"UTC", "Asia/Shanghai", "America/Argentina/Ushuaia"} <= zone_names()


@pytest.mark.parametrize("name", ["", "/etc/localtime", "../UTC", "Mars/Olympus_Mons", "UTC+99", "\x00"])
def test_nothing_is_suggested_for_what_is_like_no_zone(name: str) -> None:
    assert similar_zone(name) is None


def test_the_calendar_ends_without_an_error() -> None:
    late = int(datetime(9995, 1, 1, tzinfo=UTC).timestamp())
    assert [stretch for stretch in stretches_from("UTC", late, 50) if stretch.start > late] == []
