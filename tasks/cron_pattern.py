"""The wall-clock times that a cron expression names, without any zone: the next one, the one before, how many.

Wall seconds count from 1970-01-01 00:00 on whatever clock is meant; a zone's jumps are no concern of this file.
"""

from __future__ import annotations

import calendar
from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache

from tasks.wall_clock import DAY, FIRST_YEAR, LAST_YEAR

_EPOCH_DAY = date(1970, 1, 1)
#: Months searched for the next day; the rarest day, a fifth weekday that is 29 February, is at most 40 years away.
_MONTHS_AHEAD = 50 * 12
#: The name of the last one in `Nth.number` and of the last day of a month.
LAST = 0


class Rhythm(StrEnum):
    """How a schedule goes through a change of the clock; decided by the hour field alone."""

    #: Every hour of the day: the schedule follows the clock that is shown.
    EVERY_HOUR = "every_hour"
    #: A step through the whole day, such as `*/2`.
    STEP = "step"
    #: Named hours.
    FIXED = "fixed"


@dataclass(frozen=True, kw_only=True)
class Days:
    """The days that a pattern names. None: the field leaves every day open."""

    #: 1 to 31, and LAST for the last day of the month.
    of_month: frozenset[int] | None = None
    #: The working day next to this day of the month (`15W`).
    nearest_to: int | None = None
    #: 0 to 6, Sunday is 0.
    of_week: frozenset[int] | None = None
    #: (weekday, number) pairs, such as the second Friday or, with LAST, the last Friday of the month.
    nth: frozenset[tuple[int, int]] | None = None

    def in_month(self, year: int, month: int) -> tuple[int, ...]:
        """The days of this month, in order. With a day of the month and a weekday, either is enough, as in cron."""
        first, length = calendar.monthrange(year, month)
        by_date = self._by_date(first, length)
        by_weekday = self._by_weekday(first, length)
        if by_date is None:
            return tuple(range(1, length + 1)) if by_weekday is None else tuple(sorted(by_weekday))
        return tuple(sorted(by_date | (by_weekday or set())))

    def _by_date(self, first: int, length: int) -> set[int] | None:
        if self.nearest_to is not None:
            return {_working_day(self.nearest_to, first, length)}
        if self.of_month is None:
            return None
        return {length if day == LAST else day for day in self.of_month if day <= length}

    def _by_weekday(self, first: int, length: int) -> set[int] | None:
        if self.nth is not None:
            return {day for weekday, number in self.nth for day in _nth(weekday, number, first, length)}
        if self.of_week is None:
            return None
        return {day for day in range(1, length + 1) if (first + day) % 7 in self.of_week}


def _working_day(day: int, first: int, length: int) -> int:
    """Monday to Friday closest to `day`, never in another month; `first` is the weekday of the 1st, Monday is 0."""
    weekday = (first + day - 1) % 7
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < length else day - 2
    return day


def _nth(weekday: int, number: int, first: int, length: int) -> list[int]:
    days = [day for day in range(1, length + 1) if (first + day) % 7 == weekday]
    return days[-1:] if number == LAST else days[number - 1 : number]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pattern:
    """A parsed cron expression. Compared by identity, so that it is a cheap key; parsing interns it."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    days: Days
    rhythm: Rhythm
    #: The fields as read, seconds first, `H` resolved; for the sentence that describes the pattern.
    fields: tuple[str, ...] = field(default=())

    @property
    def per_day(self) -> int:
        """How many times of day there are."""
        return len(self.seconds) * len(self.minutes) * len(self.hours)

    def first_from(self, wall: int) -> int | None:
        """The first named wall second at or after `wall`; None if there is none in fifty years."""
        day, time = divmod(wall, DAY)
        found = self._day_from(day)
        if found == day:
            rank = self._rank(time)
            if rank < self.per_day:
                return day * DAY + self._time(rank)
            found = self._day_from(day + 1)
        return None if found is None else found * DAY + self._time(0)

    def last_before(self, wall: int) -> int | None:
        """The last named wall second before `wall`; None if there is none in fifty years."""
        day, time = divmod(wall, DAY)
        found = self._day_until(day)
        if found == day:
            rank = self._rank(time)
            if rank > 0:
                return day * DAY + self._time(rank - 1)
            found = self._day_until(day - 1)
        return None if found is None else found * DAY + self._time(self.per_day - 1)

    def count(self, start: int, end: int) -> int:
        """How many named wall seconds lie in [start, end); exact, and paid by the month, not by the occurrence."""
        if end <= start:
            return 0
        (first, early), (last, late) = divmod(start, DAY), divmod(end, DAY)
        whole = self._count_days(first, last) * self.per_day
        if self._day_until(last) == last:
            whole += self._rank(late)
        if self._day_until(first) == first:
            whole -= self._rank(early)
        return whole

    def _rank(self, time: int) -> int:
        """How many times of day lie before the second `time` of the day."""
        hour, minute, second = time // 3600, time // 60 % 60, time % 60
        per_hour = len(self.minutes) * len(self.seconds)
        at = bisect_left(self.hours, hour)
        rank = at * per_hour
        if at < len(self.hours) and self.hours[at] == hour:
            at = bisect_left(self.minutes, minute)
            rank += at * len(self.seconds)
            if at < len(self.minutes) and self.minutes[at] == minute:
                rank += bisect_left(self.seconds, second)
        return rank

    def _time(self, rank: int) -> int:
        """The time of day, in seconds, that `rank` others precede."""
        rest, second = divmod(rank, len(self.seconds))
        hour, minute = divmod(rest, len(self.minutes))
        return self.hours[hour] * 3600 + self.minutes[minute] * 60 + self.seconds[second]

    def _day_from(self, day: int) -> int | None:
        year, month, of_month = _calendar(day)
        for _ in range(_MONTHS_AHEAD):
            if year > LAST_YEAR:
                return None
            days = _days(self, year, month)
            at = bisect_left(days, of_month)
            if at < len(days):
                return _day_number(year, month, days[at])
            year, month, of_month = (year + 1, 1, 1) if month == 12 else (year, month + 1, 1)
        return None

    def _day_until(self, day: int) -> int | None:
        year, month, of_month = _calendar(day)
        for _ in range(_MONTHS_AHEAD):
            if year < FIRST_YEAR:
                return None
            days = _days(self, year, month)
            at = bisect_left(days, of_month + 1)
            if at:
                return _day_number(year, month, days[at - 1])
            year, month, of_month = (year - 1, 12, 31) if month == 1 else (year, month - 1, 31)
        return None

    def _count_days(self, first: int, last: int) -> int:
        """How many named days lie in [first, last)."""
        year, month, of_month = _calendar(first)
        end_year, end_month, end_day = _calendar(last)
        count = -bisect_left(_days(self, year, month), of_month)
        while (year, month) < (end_year, end_month):
            count += len(_days(self, year, month))
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        return count + bisect_left(_days(self, end_year, end_month), end_day)


@lru_cache(maxsize=16_384)
def _days(pattern: Pattern, year: int, month: int) -> tuple[int, ...]:
    return pattern.days.in_month(year, month) if month in pattern.months else ()


def _calendar(day: int) -> tuple[int, int, int]:
    found = _EPOCH_DAY + timedelta(days=day)
    return found.year, found.month, found.day


def _day_number(year: int, month: int, day: int) -> int:
    return (date(year, month, day) - _EPOCH_DAY).days
