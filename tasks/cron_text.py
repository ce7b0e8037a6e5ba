"""A schedule as a plain sentence, in English and Chinese; the shapes are found here, the words are elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tasks.cron_chinese import Chinese
from tasks.cron_pattern import LAST, Days, Pattern
from tasks.cron_phrases import English, Phrases
from tasks.schedule import Cron, Remark

Language = Literal["en", "zh"]
_PHRASES: Mapping[str, Phrases] = {"en": English(), "zh": Chinese()}
#: Longer lists are not read by anyone: the sentence then shows the expression instead.
_LISTED = 6


def describe(cron: Cron, language: Language) -> str:
    """`every weekday at 02:30, New York`; where no sentence fits, one that shows the expression. `H` is resolved.

    Raises InvalidSchedule where the expression cannot be read.
    """
    pattern, phrases = cron.pattern, _PHRASES[language]
    days, rhythm = _days(pattern, phrases), _rhythm(pattern, phrases)
    if days is None:
        return phrases.generic(cron.expression.strip(), cron.zone)
    if rhythm is not None:
        return phrases.repeating(rhythm, days, cron.zone)
    times = _times(pattern)
    if times is None:
        return phrases.generic(cron.expression.strip(), cron.zone)
    return phrases.at_times(days or phrases.every_day, times, cron.zone)


def explain(remark: Remark, language: Language) -> str:
    """What a change of the clock does to an occurrence, in one sentence."""
    return _PHRASES[language].touched(remark.touch, remark.wall)


def _days(pattern: Pattern, phrases: Phrases) -> str | None:
    """The days in words; "" for every day, None where there are too many to list."""
    days = pattern.days
    months = () if len(pattern.months) == 12 else pattern.months
    if _is_every_day(days):
        return phrases.all_days_of(months) if months else ""
    if len(days.of_month or ()) > _LISTED or len(days.nth or ()) > _LISTED:
        return None
    parts: list[str] = []
    if days.of_month is not None:
        parts.append(phrases.dates(sorted(days.of_month, key=lambda day: day or 32), months))
    if days.nearest_to is not None:
        parts.append(phrases.nearest(days.nearest_to, months))
    if days.nth is not None:
        parts.append(phrases.nth(sorted(days.nth, key=lambda pair: (pair[1] or 6, pair[0])), months))
    if days.of_week is not None:
        parts.append(phrases.weekdays(sorted(days.of_week, key=lambda day: day or 7), months))
    return phrases.either(parts)


def _is_every_day(days: Days) -> bool:
    """True also where one of two day fields names every day, because either is enough."""
    open_fields = days.of_month is None and days.of_week is None and days.nth is None and days.nearest_to is None
    return open_fields or len(days.of_week or ()) == 7 or len((days.of_month or frozenset()) - {LAST}) == 31


def _times(pattern: Pattern) -> list[str] | None:
    """The times of day, if few."""
    if pattern.per_day > _LISTED:
        return None
    return [
        _clock(hour, minute, second if pattern.seconds != (0,) else None)
        for hour in pattern.hours
        for minute in pattern.minutes
        for second in pattern.seconds
    ]


def _rhythm(pattern: Pattern, phrases: Phrases) -> str | None:
    """`every 15 minutes` and the like, or None where the times have no even rhythm."""
    seconds, minutes, hours = pattern.seconds, pattern.minutes, pattern.hours
    if len(seconds) > 1:
        step = _even_step(seconds, 60)
        whole = len(minutes) == 60 and len(hours) == 24
        return phrases.every_seconds(step, seconds[0]) if step and whole else None
    if seconds != (0,):
        return None
    if len(minutes) > 1 and (step := _even_step(minutes, 60)):
        return _minute_rhythm(step, pattern, phrases)
    if len(minutes) <= _LISTED and len(hours) == 24:
        return phrases.past_every_hour(list(minutes))
    if len(minutes) == 1 and len(hours) > 2:
        return _hour_rhythm(pattern, phrases)
    return None


def _minute_rhythm(step: int, pattern: Pattern, phrases: Phrases) -> str | None:
    minutes, hours = pattern.minutes, pattern.hours
    if len(hours) == 24:
        return phrases.every_minutes(step, minutes[0])
    if not _is_run(hours):
        return None
    return phrases.between(phrases.every_minutes(step, 0), _clock(hours[0], minutes[0]), _clock(hours[-1], minutes[-1]))


def _hour_rhythm(pattern: Pattern, phrases: Phrases) -> str | None:
    minute, hours = pattern.minutes[0], pattern.hours
    first, last = _clock(hours[0], minute), _clock(hours[-1], minute)
    step = _even_step(hours, 24)
    if step:
        return phrases.every_hours(step, first)
    return phrases.between(phrases.every_hours(1, None), first, last) if _is_run(hours) else None


def _even_step(values: tuple[int, ...], size: int) -> int | None:
    """The step that goes round the whole field without a break, such as 15 for 0, 15, 30, 45 of 60."""
    step = size // len(values)
    even = size % len(values) == 0 and values == tuple(range(values[0], size, step))
    return step if even else None


def _is_run(values: tuple[int, ...]) -> bool:
    return values == tuple(range(values[0], values[-1] + 1))


def _clock(hour: int, minute: int, second: int | None = None) -> str:
    return f"{hour:02}:{minute:02}" + ("" if second is None else f":{second:02}")
