"""One field of a cron expression: what may stand in it, and why anything else is refused.

Refused is also what croniter would read differently from what was most likely meant: steps wider than their field
(`*/90` would mean hourly), `5-5` (every minute), a step over a range that wraps, `#`, `W` and `L5` in a list or beside
another day, `31W`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tasks.errors import FieldProblem, InvalidTask


class InvalidSchedule(InvalidTask):
    """The schedule breaks at least one rule; `problems` names the fields."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field by its name in messages, its values, and their names in lower case."""

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
            raise refusal("cron_syntax", f"`{text}` is not a value of the {self.name} field; use {self.span}{advice}.")
        if not self.low <= int(text) <= self.high + (self is WEEKDAY):
            raise refusal("cron_out_of_range", f"{text} is outside the {self.name} field; use {self.span}.")
        return int(text)

    @property
    def span(self) -> str:
        """The values in words."""
        return f"{self.low} to {self.high}"


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

SECOND = Field(name="second", low=0, high=59)
MINUTE = Field(name="minute", low=0, high=59)
HOUR = Field(name="hour", low=0, high=23)
DAY_OF_MONTH = Field(name="day of month", low=1, high=31)
MONTH = Field(name="month", low=1, high=12, names=_MONTHS)
WEEKDAY = Field(name="day of week", low=0, high=6, names=_WEEKDAYS)
FIELDS = (SECOND, MINUTE, HOUR, DAY_OF_MONTH, MONTH, WEEKDAY)

_STEP = r"(?:/(?P<step>\d+))?"
_STAR = re.compile(r"\*" + _STEP)
_HASH = re.compile(r"h(?:\((?P<low>\d+)-(?P<high>\d+)\))?" + _STEP)
_RANGE = re.compile(r"(?P<low>[a-z]+|\d+)(?:-(?P<high>[a-z]+|\d+))?" + _STEP)
_RANDOM = re.compile(r"r(?:\(.*\))?(?:/.*)?")
_NEAREST = re.compile(r"(\d+)w")
_NTH = re.compile(r"([a-z]+|\d+)#(\d+)")
_LAST_WEEKDAY = re.compile(r"l(\d+)")
_LETTERED = re.compile(r"l|w|lw|w\d+|\d+l|[a-z]{3}l|l-\d+|\d+-\d+w|.*#.*")


def refusal(code: str, message: str) -> InvalidSchedule:
    """The error for an expression that cannot be accepted."""
    return InvalidSchedule([FieldProblem(pointer="/cron_expression", code=code, message=message)])


def checked(field: Field, text: str) -> str:
    """One field as croniter may have it. Raises InvalidSchedule."""
    if text == "?" and field in (DAY_OF_MONTH, WEEKDAY):
        return "*"
    elements = [_element(field, element) for element in text.split(",")]
    if "*" in elements:
        return "*"
    if len(elements) > 1 and any(element.startswith("h(") for element in elements):
        raise refusal("cron_hash", "H cannot stand in a list; use it alone, such as `H` or `H/15`.")
    special = [element for element in elements if re.search(r"w$|#|^l\d", element)]
    if special and len(special) < len(elements):
        raise _special(f"`{special[0]}` cannot stand in a list with plain days; make it a task of its own.")
    if len(special) > 1 and field is DAY_OF_MONTH:
        raise _special("W can be used for one day only; make the others tasks of their own.")
    return ",".join(elements)


def _element(field: Field, text: str) -> str:
    if not text:
        raise refusal("cron_syntax", f"The {field.name} field has a comma too many; remove it.")
    if _RANDOM.fullmatch(text):
        raise refusal("cron_random", "R would move with every restart; use H, which stays the same for a task.")
    for form, check in _FORMS:
        match = form.fullmatch(text)
        if match:
            return check(field, match)
    raise refusal(
        "cron_syntax",
        f"`{text[:40]}` in the {field.name} field cannot be read; use {field.span}, *, lists or ranges.",
    )


def _star(field: Field, match: re.Match[str]) -> str:
    step = match["step"]
    if step is None or int(step) == 1:
        return "*"
    _check_step(field, int(step), field.low, field.high, match[0])
    return match[0]


def _hash(field: Field, match: re.Match[str]) -> str:
    # The 29th to 31st are not in every month: a bare H is a day that is.
    last = 28 if field is DAY_OF_MONTH else field.high
    low = field.low if match["low"] is None else field.number(match["low"])
    high = last if match["high"] is None else field.number(match["high"])
    if low >= high or high > field.high:
        raise refusal("cron_range", f"`{match[0]}` is not a range; write it as H({field.low}-{last}).")
    if match["step"] is not None:
        _check_step(field, int(match["step"]), low, high, match[0])
    return f"h({low}-{high})" + ("" if match["step"] is None else f"/{match['step']}")


def _range(field: Field, match: re.Match[str]) -> str:
    low = field.number(match["low"])
    if match["high"] is None:
        if match["step"] is not None:
            _check_step(field, int(match["step"]), low, field.high, match[0])
        return match[0]
    high = field.number(match["high"])
    if low == high:
        raise refusal("cron_range", f"`{match[0]}` is one value written as a range; write `{match['low']}`.")
    if match["step"] is not None:
        if low > high:
            raise refusal("cron_range", f"`{match[0]}` steps over the end of the field; list the values instead.")
        _check_step(field, int(match["step"]), low, high, match[0])
    return match[0]


def _check_step(field: Field, step: int, low: int, high: int, text: str) -> None:
    if step == 0:
        raise refusal("cron_step", f"`{text}` has the step 0; use 1 or more.")
    if step > high - low:
        raise refusal(
            "cron_step",
            f"`{text}` steps past the end of the {field.name} field ({low} to {high}) at once;"
            " use a smaller step, the value alone, or a larger field.",
        )


def _nearest(field: Field, match: re.Match[str]) -> str:
    if field is not DAY_OF_MONTH or not 1 <= int(match[1]) <= 28:
        raise _special("W works in the day of month field for the days 1 to 28, such as `15W`; use L for the last day.")
    return match[0]


def _nth_weekday(field: Field, match: re.Match[str]) -> str:
    if field is not WEEKDAY:
        raise _special("# works in the day of week field only, such as `FRI#2`.")
    field.number(match[1])
    if not 1 <= int(match[2]) <= 5:
        raise refusal("cron_out_of_range", f"`{match[0]}` counts beyond a month; use #1 to #5.")
    return match[0]


def _last_weekday(field: Field, match: re.Match[str]) -> str:
    if field is not WEEKDAY:
        raise _special("L with a number works in the day of week field only, such as `L5` for the last Friday.")
    field.number(match[1])
    return match[0]


def _lettered(field: Field, match: re.Match[str]) -> str:
    """L as the last day of the month; what else is written with L, W or # elsewhere is refused with advice."""
    if field is DAY_OF_MONTH and match[0] == "l":
        return match[0]
    instead = f"{field.span}, *, lists or ranges"
    if field is DAY_OF_MONTH:
        instead = "`L`, a day, or `15W`"
    elif field is WEEKDAY:
        instead = "`L5` for the last Friday or `FRI#2` for the second"
    raise _special(f"`{match[0][:40].upper()}` is not supported in the {field.name} field; use {instead}.")


_FORMS: tuple[tuple[re.Pattern[str], Callable[[Field, re.Match[str]], str]], ...] = (
    (_STAR, _star),
    (_HASH, _hash),
    (_NEAREST, _nearest),
    (_NTH, _nth_weekday),
    (_LAST_WEEKDAY, _last_weekday),
    (_LETTERED, _lettered),
    (_RANGE, _range),
)


def _special(message: str) -> InvalidSchedule:
    return refusal("cron_special", message)


def check_days(of_month: str, of_week: str) -> None:
    """Raises InvalidSchedule where the two day fields do not go together."""
    if of_month == "*" or of_week == "*":
        return
    if of_month.endswith("w") or "#" in of_week or of_week.startswith("l"):
        raise _special("W, # and L5 cannot be combined with a second day field; leave the other one `*`.")
