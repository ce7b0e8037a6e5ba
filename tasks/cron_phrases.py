"""The words for schedules: what a language must be able to say, and English."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from tasks.cron_pattern import LAST
from tasks.occurrence import Touch

_FIXED_OFFSET = re.compile(r"Etc/GMT([+-])(\d+)")
_UTC = frozenset({"UTC", "Etc/UTC", "Etc/UCT", "UCT", "Zulu", "Etc/Zulu", "Universal", "Etc/Universal"})


class Phrases(Protocol):
    """What a language must be able to say. `months` is empty where every month is meant."""

    every_day: str

    def dates(self, days: Sequence[int], months: Sequence[int]) -> str:
        """Days of the month; LAST is the last day."""
        ...

    def nearest(self, day: int, months: Sequence[int]) -> str:
        """The working day nearest to a day of the month."""
        ...

    def nth(self, pairs: Sequence[tuple[int, int]], months: Sequence[int]) -> str:
        """Numbered weekdays of the month, such as the second Friday."""
        ...

    def weekdays(self, days: Sequence[int], months: Sequence[int]) -> str:
        """Days of the week, Sunday is 0."""
        ...

    def all_days_of(self, months: Sequence[int]) -> str:
        """Every day of some months."""
        ...

    def either(self, parts: Sequence[str]) -> str:
        """Days that one of the parts names."""
        ...

    def every_seconds(self, step: int, first: int) -> str:
        """Every so many seconds, from this second of the minute."""
        ...

    def every_minutes(self, step: int, first: int) -> str:
        """Every so many minutes, from this minute of the hour."""
        ...

    def past_every_hour(self, minutes: Sequence[int]) -> str:
        """At these minutes of every hour."""
        ...

    def every_hours(self, step: int, first: str | None) -> str:
        """Every so many hours, counted from this time of day."""
        ...

    def between(self, rhythm: str, first: str, last: str) -> str:
        """A rhythm from the first to the last time of day."""
        ...

    def at_times(self, days: str, times: Sequence[str], zone: str) -> str:
        """The sentence for times of day."""
        ...

    def repeating(self, rhythm: str, days: str, zone: str) -> str:
        """The sentence for a rhythm."""
        ...

    def generic(self, expression: str, zone: str) -> str:
        """The sentence for everything else."""
        ...

    def touched(self, touch: Touch, wall: str) -> str:
        """What a change of the clock does to the time `wall`."""
        ...


class English:
    """Schedules in English."""

    every_day = "every day"
    _months = (
        *("January", "February", "March", "April", "May", "June"),
        *("July", "August", "September", "October", "November", "December"),
    )
    _weekdays = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
    _ordinals = ("last", "first", "second", "third", "fourth", "fifth")

    def dates(self, days: Sequence[int], months: Sequence[int]) -> str:
        """Days of the month; LAST is the last day."""
        if len(months) == 1 and len(days) == 1 and days[0] != LAST:
            return f"every year on {days[0]} {self._months[months[0] - 1]}"
        named = _listed([f"the {'last day' if day == LAST else _ordinal(day)}" for day in days], " and ")
        return f"on {named} of {self._of(months)}"

    def nearest(self, day: int, months: Sequence[int]) -> str:
        """The working day nearest to a day of the month."""
        return f"on the weekday nearest the {_ordinal(day)} of {self._of(months)}"

    def nth(self, pairs: Sequence[tuple[int, int]], months: Sequence[int]) -> str:
        """Numbered weekdays of the month."""
        named = [f"the {self._ordinals[number]} {self._weekdays[weekday]}" for weekday, number in pairs]
        return f"on {_listed(named, ' and ')} of {self._of(months)}"

    def weekdays(self, days: Sequence[int], months: Sequence[int]) -> str:
        """Days of the week."""
        workweek = list(days) == [1, 2, 3, 4, 5]
        named = "weekday" if workweek else _listed([self._weekdays[day] for day in days], " and ")
        return f"every {named}" + (f" {self._in(months)}" if months else "")

    def all_days_of(self, months: Sequence[int]) -> str:
        """Every day of some months."""
        return f"every day {self._in(months)}"

    def either(self, parts: Sequence[str]) -> str:
        """Days that one of the parts names."""
        return " and ".join(parts)

    def every_seconds(self, step: int, first: int) -> str:
        """Every so many seconds."""
        return _every(step, "second") + (f" from second {first} of each minute" if first else "")

    def every_minutes(self, step: int, first: int) -> str:
        """Every so many minutes."""
        return _every(step, "minute") + (f" from minute {first} of each hour" if first else "")

    def past_every_hour(self, minutes: Sequence[int]) -> str:
        """At these minutes of every hour."""
        if list(minutes) == [0]:
            return "every hour on the hour"
        return f"every hour at {_listed([f':{minute:02}' for minute in minutes], ' and ')}"

    def every_hours(self, step: int, first: str | None) -> str:
        """Every so many hours."""
        return _every(step, "hour") + (f" from {first}" if first else "")

    def between(self, rhythm: str, first: str, last: str) -> str:
        """A rhythm from the first to the last time of day."""
        return f"{rhythm} from {first} to {last}"

    def at_times(self, days: str, times: Sequence[str], zone: str) -> str:
        """The sentence for times of day."""
        return f"{days} at {_listed(times, ' and ')}, {self._zone(zone)}"

    def repeating(self, rhythm: str, days: str, zone: str) -> str:
        """The sentence for a rhythm."""
        return ", ".join(part for part in (rhythm, days, self._zone(zone)) if part)

    def generic(self, expression: str, zone: str) -> str:
        """The sentence for everything else."""
        return f"whenever the clock matches {expression}, {self._zone(zone)}"

    def touched(self, touch: Touch, wall: str) -> str:
        """What a change of the clock does to the time `wall`."""
        return {
            Touch.MOVED: f"{wall} does not exist because the clocks go forward; it runs right after the gap.",
            Touch.FIRST_ONLY: f"{wall} comes twice because the clocks go back; it runs the first time only.",
            Touch.BOTH: f"{wall} comes twice because the clocks go back; it runs both times.",
        }[touch]

    def _of(self, months: Sequence[int]) -> str:
        if not months:
            return "every month"
        return f"each month {self._in(months)}" if is_span(months) else self._in(months).removeprefix("in ")

    def _in(self, months: Sequence[int]) -> str:
        names = [self._months[month - 1] for month in months]
        return f"from {names[0]} to {names[-1]}" if is_span(months) else f"in {_listed(names, ' and ')}"

    def _zone(self, zone: str) -> str:
        return offset_name(zone) or zone.rsplit("/", 1)[-1].replace("_", " ")


def _every(step: int, unit: str) -> str:
    return f"every {unit}" if step == 1 else f"every {step} {unit}s"


def _ordinal(day: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{day}{'th' if day in (11, 12, 13) else endings.get(day % 10, 'th')}"


def _listed(words: Sequence[str], last: str) -> str:
    return last.join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def is_span(months: Sequence[int]) -> bool:
    """True for three or more months in a row."""
    return len(months) > 2 and list(months) == list(range(months[0], months[-1] + 1))


def offset_name(zone: str) -> str | None:
    """UTC, and `UTC+8` for Etc/GMT-8, whose sign means the contrary of what it looks like."""
    if zone in _UTC:
        return "UTC"
    match = _FIXED_OFFSET.fullmatch(zone)
    if match is None:
        return None
    return f"UTC{'-' if match[1] == '+' else '+'}{match[2]}"
