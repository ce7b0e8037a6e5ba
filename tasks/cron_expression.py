"""Reading a cron expression: the Pattern that comes out of it, or the reason why none does.

cron_field decides what may stand in a field; croniter expands what passes. Aliases are replaced here, because croniter
takes `@daily` beside a hash id for a daily time drawn from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from croniter import CroniterError, croniter

from tasks.cron_field import FIELDS, HOUR, MINUTE, MONTH, SECOND, WEEKDAY, Field, check_days, checked, refusal
from tasks.cron_pattern import LAST, Days, Pattern, Rhythm

#: Characters an expression may have.
LONGEST = 256
ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


def read(expression: str, key: str) -> Pattern:
    """The pattern of an expression; `key` is the task's stable text that `H` is drawn from.

    Raises InvalidSchedule with one problem at `/cron_expression`.
    """
    fields = _fields(expression)
    return _read(fields, key if any("h(" in field for field in fields) else "")


@lru_cache(maxsize=8192)
def _fields(expression: str) -> tuple[str, ...]:
    """The six fields in lower case, seconds first, each checked."""
    text = _plain(expression)
    fields = ALIASES.get(text, text).split()
    if len(fields) == 7:
        raise refusal(
            "cron_year", "A year field is not supported; use 5 fields, or 6 with seconds first, and `end_at`."
        )
    if len(fields) not in (5, 6):
        raise refusal(
            "cron_field_count",
            f"The expression has {len(fields)} field{'s' * (len(fields) != 1)}; use 5 (minute, hour, day of month,"
            " month, day of week) or 6 with seconds first.",
        )
    if len(fields) == 5:
        fields.insert(0, "0")
    plain = tuple(checked(field, part) for field, part in zip(FIELDS, fields, strict=True))
    check_days(plain[3], plain[5])
    return plain


def _plain(expression: str) -> str:
    if len(expression) > LONGEST:
        raise refusal("cron_too_long", f"The expression has {len(expression)} characters; use at most {LONGEST}.")
    text = expression.strip(" \t").lower()
    if not text:
        raise refusal("cron_empty", "The expression is empty; use 5 fields such as `30 2 * * *`.")
    if not expression.isascii() or not expression.replace("\t", " ").isprintable():
        raise refusal(
            "cron_syntax", "The expression holds characters that cron does not know; use plain ASCII on one line."
        )
    if text.startswith(("cron_tz=", "tz=")):
        raise refusal(
            "cron_timezone_prefix", "A zone inside the expression is not supported; use the field `timezone`."
        )
    if text.startswith("@") and text not in ALIASES:
        raise refusal("cron_alias", f"This alias is not supported; use fields, or one of {', '.join(ALIASES)}.")
    return text


@lru_cache(maxsize=8192)
def _read(fields: tuple[str, ...], key: str) -> Pattern:
    try:
        # Any: what we read from it is lists of numbers, "*" and "l", and no published stub says so.
        parsed: Any = croniter(" ".join(fields), 0.0, hash_id=key, second_at_beginning=True)
    except (CroniterError, ValueError, TypeError, KeyError, IndexError) as error:
        raise refusal("cron_syntax", "The expression cannot be read; use 5 fields such as `30 2 * * *`.") from error
    minutes, hours, of_month, months, of_week, seconds = parsed.expanded
    pattern = Pattern(
        seconds=_values(seconds, SECOND),
        minutes=_values(minutes, MINUTE),
        hours=_values(hours, HOUR),
        months=_values(months, MONTH),
        days=_days(of_month, of_week, parsed),
        rhythm=_rhythm(fields[2], _values(hours, HOUR)),
        fields=fields,
    )
    # A leap year's start: every day that exists comes within fifty years of it.
    if pattern.first_from(0) is None:
        raise refusal("never_fires", "No such day exists, so this would never run; change the day or the month.")
    return pattern


def _values(expanded: Sequence[int | str], field: Field) -> tuple[int, ...]:
    if "*" in expanded:
        return tuple(range(field.low, field.high + 1))
    return tuple(sorted(value for value in expanded if isinstance(value, int)))


def _days(of_month: Sequence[int | str], of_week: Sequence[int | str], parsed: Any) -> Days:
    nth = {(weekday, LAST if at == "l" else at) for weekday, ats in parsed.nth_weekday_of_month.items() for at in ats}
    nearest = next(iter(parsed.nearest_weekday), None)
    dates = None if "*" in of_month or nearest is not None else _dates(of_month)
    weekdays = None if "*" in of_week or nth else frozenset(_values(of_week, WEEKDAY))
    return Days(of_month=dates, nearest_to=nearest, of_week=weekdays, nth=frozenset(nth) or None)


def _dates(expanded: Sequence[int | str]) -> frozenset[int]:
    return frozenset(value if isinstance(value, int) else LAST for value in expanded)


def _rhythm(field: str, hours: tuple[int, ...]) -> Rhythm:
    """EVERY_HOUR where all 24 are named; STEP where the field is nothing but steps through the whole day."""
    if len(hours) == 24:
        return Rhythm.EVERY_HOUR
    return Rhythm.STEP if all(_is_whole_day_step(element) for element in field.split(",")) else Rhythm.FIXED


def _is_whole_day_step(element: str) -> bool:
    start, slash, step = element.partition("/")
    if not slash:
        return False
    return start in ("*", "h(0-23)") or (start.isdigit() and int(start) < int(step))
