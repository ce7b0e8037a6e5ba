"""Occurrences: a pattern on the clock of a zone, in UTC seconds, with one rule for every jump of the clock.

Where a zone's clock jumps, the hour field of the expression decides (tasks.cron_pattern.Rhythm):

named hours     `30 2 * * *`, `0 9-17 * * *`, `0 0,12 * * *`. A time runs once, at the first instant at which the clock
                shows it or has passed it: a time inside the spring gap runs right after the gap, several of them
                together run once there; a time that the autumn repeats runs the first time only.
whole-day step  `0 */2 * * *`, `0 1/3 * * *`, `0 H/6 * * *`. As above in the gap, so that no step is lost; a time that
                repeats runs both times.
every hour      `*/30 * * * *`, `15 * * * *`, or all 24 named. Runs whenever the clock shows a named time: both times
                in a repeated hour, and not at all in an hour that does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tasks.cron_pattern import Pattern, Rhythm
from tasks.wall_clock import DAY, FIRST_YEAR, LAST_YEAR, Stretch, stretches_from, stretches_until, wall_text, year_of

#: Years that are searched for the next occurrence; the rarest day is 40 years away.
_YEARS = 50


def _walls(stretch: Stretch, rhythm: Rhythm) -> int:
    """The wall second from which this stretch has to answer for times; the table at the top as one number."""
    if rhythm is Rhythm.EVERY_HOUR:
        return stretch.wall_start
    if rhythm is Rhythm.STEP:
        return min(stretch.wall_start, stretch.reached)
    return stretch.reached


def first_from(pattern: Pattern, zone: str, since: int) -> int | None:
    """The first occurrence at or after a second; None if there is none in fifty years."""
    if year_of(since) >= LAST_YEAR:
        return None
    for stretch in stretches_from(zone, since, _YEARS):
        low = _walls(stretch, pattern.rhythm)
        if stretch.start < since:
            low = max(low, since + stretch.offset)
        wall = pattern.first_from(low)
        if wall is None:
            return None
        if wall < stretch.wall_end:
            return max(wall - stretch.offset, stretch.start)
    return None


def last_until(pattern: Pattern, zone: str, until: int) -> int | None:
    """The last occurrence at or before a second; None if there is none in fifty years."""
    if not FIRST_YEAR < year_of(until) < LAST_YEAR:
        return None
    for stretch in stretches_until(zone, until, _YEARS):
        wall = pattern.last_before(min(until + 1, stretch.end) + stretch.offset)
        if wall is None:
            return None
        if wall >= _walls(stretch, pattern.rhythm):
            return max(wall - stretch.offset, stretch.start)
    return None


def count(pattern: Pattern, zone: str, since: int, until: int) -> int:
    """How many occurrences lie from `since` to `until`, both included; exact."""
    total = 0
    for stretch in stretches_from(zone, since, year_of(until) - year_of(since)):
        if stretch.start > until:
            break
        low = _walls(stretch, pattern.rhythm)
        begin = max(since, stretch.start) + stretch.offset
        total += pattern.count(max(low, begin), min(until + 1, stretch.end) + stretch.offset)
        if stretch.start >= since and _falls_in_gap(pattern, stretch) and not pattern.count(begin, begin + 1):
            total += 1
    return total


def _falls_in_gap(pattern: Pattern, stretch: Stretch) -> bool:
    """True where a named time lies in the gap before this stretch and is made up for at its start."""
    low = _walls(stretch, pattern.rhythm)
    return low < stretch.wall_start and pattern.count(low, stretch.wall_start) > 0


class Touch(StrEnum):
    """How a change of the clock touches an occurrence."""

    #: The named time does not exist that day: it runs at the end of the gap.
    MOVED = "moved"
    #: The clock shows this time twice: it runs this once, the first time.
    FIRST_ONLY = "first_only"
    #: The clock shows this time twice, and it runs both times.
    BOTH = "both"


@dataclass(frozen=True, kw_only=True)
class Remark:
    """That a change of the clock touches an occurrence."""

    #: Milliseconds, as in the list that was asked about.
    moment: int
    touch: Touch
    #: The time on the zone's clock that the expression names, as `2026-03-08 02:30:00`.
    wall: str


def remark(pattern: Pattern, zone: str, moment: int) -> Remark | None:
    """How a change of the clock touches the occurrence at `moment` (milliseconds), if it does."""
    second = moment // 1000
    stretch = next(stretches_from(zone, second, 1))
    if stretch.start == second and _falls_in_gap(pattern, stretch):
        named = pattern.first_from(_walls(stretch, pattern.rhythm))
        return Remark(moment=moment, touch=Touch.MOVED, wall=wall_text(named or 0))
    wall = second + stretch.offset
    if not (wall < stretch.reached or _shown_again(zone, second, wall)):
        return None
    touch = Touch.FIRST_ONLY if pattern.rhythm is Rhythm.FIXED else Touch.BOTH
    return Remark(moment=moment, touch=touch, wall=wall_text(wall))


def _shown_again(zone: str, second: int, wall: int) -> bool:
    """True where the clock shows `wall` once more after this second."""
    for stretch in stretches_from(zone, second, 1):
        if stretch.start > second and stretch.wall_start <= wall < stretch.wall_end:
            return True
        if stretch.start > second + 3 * DAY:
            break
    return False
