"""Reading a cron expression: what is accepted, what is refused and why, and the Pattern that comes out.

croniter expands what passes here. What it would read differently from what was most likely meant is refused first:
steps wider than their field (`*/90` would mean hourly), `5-5` (every minute), a step over a range that wraps,
`L5`, `#` and `W` beside another day, `31W`, aliases beside a hash id (`@daily` would get a random-looking time).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from croniter import CroniterError, croniter

from tasks.cron_pattern import LAST, Days, Pattern, Rhythm
from tasks.errors import FieldProblem, InvalidTask

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
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class InvalidSchedule(InvalidTask):
    """The schedule breaks at least one rule; `problems` names the fields."""


@dataclass(frozen=True, kw_only=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        """The value of a number or name; Sunday may be 7."""
        if text in self.names:
            return self.names.index(text) + self.low
        if not text.isdigit():
            advice = f" or a name such as {self.names[0].upper()}" if self.names else ""
            raise _refusal("cron_syntax", f"`{text}` is not a value of the {self.name} field; use {self.span}{advice}.")
        if not self.low <= int(text) <= self.high + (self is _WEEKDAY):
            raise _refusal("cron_out_of_range", f"{text} is outside the {self.name} field; use {self.span}.")
        return int(text)

    @property
    def span(self) -> str:
        return f"{self.low} to {self.high}"


_SECOND = _Field(name="second", low=0, high=59)
_MINUTE = _Field(name="minute", low=0, high=59)
_HOUR = _Field(name="hour", low=0, high=23)
_DAY = _Field(name="day of month", low=1, high=31)
_MONTH = _Field(name="month", low=1, high=12, names=_MONTHS)
_WEEKDAY = _Field(name="day of week", low=0, high=6, names=_WEEKDAYS)
_FIELDS = (_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)

_STEP = r"(?:/(?P<step>\d+))?"
_STAR = re.compile(r"\*" + _STEP)
_HASH = re.compile(r"h(?:\((?P<low>\d+)-(?P<high>\d+)\))?" + _STEP)
_RANGE = re.compile(r"(?P<low>[a-z]+|\d+)(?:-(?P<high>[a-z]+|\d+))?" + _STEP)
_RANDOM = re.compile(r"r(?:\(.*\))?(?:/.*)?")
_NEAREST = re.compile(r"(\d+)w")
_NTH = re.compile(r"([a-z]+|\d+)#(\d+)")
_LAST_WEEKDAY = re.compile(r"l(\d+)")
_LETTERED = re.compile(r"l|w|lw|w\d+|\d+l|[a-z]{3}l|l-\d+|\d+-\d+w|.*#.*")


def _refusal(code: str, message: str) -> InvalidSchedule:
    return InvalidSchedule([FieldProblem(pointer="/cron_expression", code=code, message=message)])


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
        raise _refusal(
            "cron_year", "A year field is not supported; use 5 fields, or 6 with seconds first, and `end_at`."
        )
    if len(fields) not in (5, 6):
        raise _refusal(
            "cron_field_count",
            f"The expression has {len(fields)} field{'s' * (len(fields) != 1)}; use 5 (minute, hour, day of month,"
            " month, day of week) or 6 with seconds first.",
        )
    if len(fields) == 5:
        fields.insert(0, "0")
    checked = tuple(_checked(field, text) for field, text in zip(_FIELDS, fields, strict=True))
    _check_days(checked[3], checked[5])
    return checked


def _plain(expression: str) -> str:
    if len(expression) > LONGEST:
        raise _refusal("cron_too_long", f"The expression has {len(expression)} characters; use at most {LONGEST}.")
    text = expression.strip(" \t").lower()
    if not text:
        raise _refusal("cron_empty", "The expression is empty; use 5 fields such as `30 2 * * *`.")
    if not expression.isascii() or not expression.replace("\t", " ").isprintable():
        raise _refusal(
            "cron_syntax", "The expression holds characters that cron does not know; use plain ASCII on one line."
        )
    if text.startswith(("cron_tz=", "tz=")):
        raise _refusal(
            "cron_timezone_prefix", "A zone inside the expression is not supported; use the field `timezone`."
        )
    if text.startswith("@") and text not in ALIASES:
        raise _refusal("cron_alias", f"This alias is not supported; use fields, or one of {', '.join(ALIASES)}.")
    return text


def _checked(field: _Field, text: str) -> str:
    """One field as croniter may have it. Raises InvalidSchedule."""
    if text == "?" and field in (_DAY, _WEEKDAY):
        return "*"
    elements = [_element(field, element) for element in text.split(",")]
    if "*" in elements:
        return "*"
    if len(elements) > 1 and any(element.startswith("h(") for element in elements):
        raise _refusal("cron_hash", "H cannot stand in a list; use it alone, such as `H` or `H/15`.")
    special = [element for element in elements if re.search(r"w$|#|^l\d", element)]
    if special and len(special) < len(elements):
        raise _special(f"`{special[0]}` cannot stand in a list with plain days; make it a task of its own.")
    if len(special) > 1 and field is _DAY:
        raise _special("W can be used for one day only; make the others tasks of their own.")
    return ",".join(elements)


def _element(field: _Field, text: str) -> str:
    if not text:
        raise _refusal("cron_syntax", f"The {field.name} field has a comma too many; remove it.")
    if _RANDOM.fullmatch(text):
        raise _refusal("cron_random", "R would move with every restart; use H, which stays the same for a task.")
    for form, check in _FORMS:
        match = form.fullmatch(text)
        if match:
            return check(field, match)
    raise _refusal(
        "cron_syntax",
        f"`{text[:40]}` in the {field.name} field cannot be read; use {field.span}, *, lists or ranges.",
    )


def _star(field: _Field, match: re.Match[str]) -> str:
    step = match["step"]
    if step is None or int(step) == 1:
        return "*"
    _check_step(field, int(step), field.low, field.high, match[0])
    return match[0]


def _hash(field: _Field, match: re.Match[str]) -> str:
    # The 29th to 31st are not in every month: a bare H is a day that is.
    last = 28 if field is _DAY else field.high
    low = field.low if match["low"] is None else field.number(match["low"])
    high = last if match["high"] is None else field.number(match["high"])
    if low >= high or high > field.high:
        raise _refusal("cron_range", f"`{match[0]}` is not a range; write it as H({field.low}-{last}).")
    if match["step"] is not None:
        _check_step(field, int(match["step"]), low, high, match[0])
    return f"h({low}-{high})" + ("" if match["step"] is None else f"/{match['step']}")


def _range(field: _Field, match: re.Match[str]) -> str:
    low = field.number(match["low"])
    if match["high"] is None:
        if match["step"] is not None:
            _check_step(field, int(match["step"]), low, field.high, match[0])
        return match[0]
    high = field.number(match["high"])
    if low == high:
        raise _refusal("cron_range", f"`{match[0]}` is one value written as a range; write `{match['low']}`.")
    if match["step"] is not None:
        if low > high:
            raise _refusal("cron_range", f"`{match[0]}` steps over the end of the field; list the values instead.")
        _check_step(field, int(match["step"]), low, high, match[0])
    return match[0]


def _check_step(field: _Field, step: int, low: int, high: int, text: str) -> None:
    if step == 0:
        raise _refusal("cron_step", f"`{text}` has the step 0; use 1 or more.")
    if step > high - low:
        raise _refusal(
            "cron_step",
            f"`{text}` steps past the end of the {field.name} field ({low} to {high}) at once;"
            " use a smaller step, the value alone, or a larger field.",
        )


def _nearest(field: _Field, match: re.Match[str]) -> str:
    if field is not _DAY or not 1 <= int(match[1]) <= 28:
        raise _special("W works in the day of month field for the days 1 to 28, such as `15W`; use L for the last day.")
    return match[0]


def _nth_weekday(field: _Field, match: re.Match[str]) -> str:
    if field is not _WEEKDAY:
        raise _special("# works in the day of week field only, such as `FRI#2`.")
    field.number(match[1])
    if not 1 <= int(match[2]) <= 5:
        raise _refusal("cron_out_of_range", f"`{match[0]}` counts beyond a month; use #1 to #5.")
    return match[0]


def _last_weekday(field: _Field, match: re.Match[str]) -> str:
    if field is not _WEEKDAY:
        raise _special("L with a number works in the day of week field only, such as `L5` for the last Friday.")
    field.number(match[1])
    return match[0]


def _lettered(field: _Field, match: re.Match[str]) -> str:
    """L as the last day of the month; what else is written with L, W or # elsewhere is refused with advice."""
    if field is _DAY and match[0] == "l":
        return match[0]
    instead = f"{field.span}, *, lists or ranges"
    if field is _DAY:
        instead = "`L`, a day, or `15W`"
    elif field is _WEEKDAY:
        instead = "`L5` for the last Friday or `FRI#2` for the second"
    raise _special(f"`{match[0][:40].upper()}` is not supported in the {field.name} field; use {instead}.")


_FORMS: tuple[tuple[re.Pattern[str], Callable[[_Field, re.Match[str]], str]], ...] = (
    (_STAR, _star),
    (_HASH, _hash),
    (_NEAREST, _nearest),
    (_NTH, _nth_weekday),
    (_LAST_WEEKDAY, _last_weekday),
    (_LETTERED, _lettered),
    (_RANGE, _range),
)


def _special(message: str) -> InvalidSchedule:
    return _refusal("cron_special", message)


def _check_days(of_month: str, of_week: str) -> None:
    if of_month == "*" or of_week == "*":
        return
    if of_month.endswith("w") or "#" in of_week or of_week.startswith("l"):
        raise _special("W, # and L5 cannot be combined with a second day field; leave the other one `*`.")


@lru_cache(maxsize=8192)
def _read(fields: tuple[str, ...], key: str) -> Pattern:
    try:
        parsed = croniter(" ".join(fields), 0.0, hash_id=key, second_at_beginning=True)
    except (CroniterError, ValueError, TypeError, KeyError, IndexError) as error:
        raise _refusal("cron_syntax", "The expression cannot be read; use 5 fields such as `30 2 * * *`.") from error
    minutes, hours, of_month, months, of_week, seconds = parsed.expanded
    pattern = Pattern(
        seconds=_values(seconds, _SECOND),
        minutes=_values(minutes, _MINUTE),
        hours=_values(hours, _HOUR),
        months=_values(months, _MONTH),
        days=_days(of_month, of_week, parsed),
        rhythm=_rhythm(fields[2], _values(hours, _HOUR)),
        fields=fields,
    )
    # A leap year's start: every day that exists comes within fifty years of it.
    if pattern.first_from(0) is None:
        raise _refusal("never_fires", "No such day exists, so this would never run; change the day or the month.")
    return pattern


def _values(expanded: list[int | str], field: _Field) -> tuple[int, ...]:
    if "*" in expanded:
        return tuple(range(field.low, field.high + 1))
    return tuple(sorted(value for value in expanded if isinstance(value, int)))


def _days(of_month: list[int | str], of_week: list[int | str], parsed: croniter) -> Days:
    nth = {(weekday, LAST if at == "l" else at) for weekday, ats in parsed.nth_weekday_of_month.items() for at in ats}
    nearest = next(iter(parsed.nearest_weekday), None)
    dates = None if "*" in of_month or nearest is not None else _dates(of_month)
    weekdays = None if "*" in of_week or nth else frozenset(_values(of_week, _WEEKDAY))
    return Days(of_month=dates, nearest_to=nearest, of_week=weekdays, nth=frozenset(nth) or None)


def _dates(expanded: list[int | str]) -> frozenset[int]:
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
