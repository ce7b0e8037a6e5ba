"""Zones: which names are accepted, and the stretches of time between two changes of a zone's clock.

Everything here counts in whole seconds. `utc` seconds count from 1970-01-01T00:00:00Z; `wall` seconds count from
1970-01-01 00:00 on the clock of the zone, so that `wall == utc + offset` within one stretch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

DAY = 86_400
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Names that a machine may offer and that mean something else on the next machine, or nothing.
_NOT_PLACES = frozenset({"localtime", "Factory", "posixrules"})
_FIXED_OFFSET = re.compile(r"^(?:UTC|GMT)?([+-])0?(\d{1,2})(?::?00)?$", re.IGNORECASE)
#: Cities that people look for and IANA files under another one.
_CITIES = {
    "beijing": "Asia/Shanghai",
    "guangzhou": "Asia/Shanghai",
    "shenzhen": "Asia/Shanghai",
    "mumbai": "Asia/Kolkata",
    "new_delhi": "Asia/Kolkata",
    "osaka": "Asia/Tokyo",
    "boston": "America/New_York",
    "washington": "America/New_York",
    "san_francisco": "America/Los_Angeles",
    "seattle": "America/Los_Angeles",
}
#: Years that are searched; datetime ends at 9999.
FIRST_YEAR, LAST_YEAR = 1900, 9990


@dataclass(frozen=True, slots=True)
class Stretch:
    """A span of time in which a zone's clock runs on undisturbed; cut at the turn of the (UTC) year as well."""

    #: First second, UTC.
    start: int
    #: First second after it, UTC.
    end: int
    #: Seconds that the wall clock is ahead of UTC.
    offset: int
    #: The wall second up to which (exclusive) the clock has been before `start`: less than `wall_start` after a jump
    #: forward, more after a jump back, equal where nothing happened.
    reached: int

    @property
    def wall_start(self) -> int:
        """What the clock shows first."""
        return self.start + self.offset

    @property
    def wall_end(self) -> int:
        """What the clock would show next if it ran on."""
        return self.end + self.offset


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """The IANA names that this machine knows."""
    return frozenset(available_timezones() - _NOT_PLACES)


@lru_cache(maxsize=1)
def _names_by_spelling() -> dict[str, str]:
    return {name.casefold(): name for name in sorted(zone_names(), reverse=True)}


@lru_cache(maxsize=1)
def _names_by_city() -> dict[str, str]:
    places = (name for name in sorted(zone_names(), reverse=True) if "/" in name and not name.startswith("Etc/"))
    return _CITIES | {name.rsplit("/", 1)[1].casefold(): name for name in places}


def similar_zone(name: str) -> str | None:
    """The accepted name that was probably meant, or None.

    `UTC+8` means eight hours ahead of UTC, which IANA calls Etc/GMT-8.
    """
    offset = _FIXED_OFFSET.match(name)
    if offset:
        sign = "-" if offset[1] == "+" else "+"
        candidate = f"Etc/GMT{sign}{offset[2]}"
        return candidate if candidate in zone_names() else None
    spelling = re.sub(r"\s+", "_", name.strip()).casefold()
    city = spelling.rsplit("/", 1)[-1]
    exact = _names_by_spelling().get(spelling) or _names_by_city().get(city)
    if exact:
        return exact
    for names in (_names_by_spelling(), _names_by_city()):
        close = get_close_matches(spelling[:64], names, n=1, cutoff=0.75)
        if close:
            return names[close[0]]
    return None


def wall_text(wall: int) -> str:
    """A wall second as `2026-03-08 02:30:00`."""
    return (_EPOCH + timedelta(seconds=wall)).replace(tzinfo=None).isoformat(sep=" ")


def year_of(second: int) -> int:
    """The year in which a second lies, clipped to the years that are searched."""
    day = second // DAY + _EPOCH_DAY
    if day < date(FIRST_YEAR, 1, 1).toordinal():
        return FIRST_YEAR
    if day >= date(LAST_YEAR + 1, 1, 1).toordinal():
        return LAST_YEAR
    return date.fromordinal(day).year


def stretches_from(zone: str, utc: int, years: int) -> Iterator[Stretch]:
    """The stretches from the one that holds `utc` on, oldest first, for that many years."""
    first = year_of(utc)
    for year in range(first, min(first + years, LAST_YEAR) + 1):
        for stretch in stretches_of(zone, year):
            if stretch.end > utc:
                yield stretch


def stretches_until(zone: str, utc: int, years: int) -> Iterator[Stretch]:
    """The stretches from the one that holds `utc` backwards, newest first, for that many years."""
    last = year_of(utc)
    for year in range(last, max(last - years, FIRST_YEAR) - 1, -1):
        for stretch in reversed(stretches_of(zone, year)):
            if stretch.start <= utc:
                yield stretch


@lru_cache(maxsize=4096)
def stretches_of(zone: str, year: int) -> tuple[Stretch, ...]:
    """The stretches of one UTC year of a zone, oldest first."""
    begin, end = _utc_second(year), _utc_second(year + 1)
    clock = ZoneInfo(zone)
    # A clock never jumps by more than about a day, so what it has shown is known three days later.
    turns = [begin - 3 * DAY, *_changes(clock, begin - 3 * DAY, end), end]
    found: list[Stretch] = []
    reached: int | None = None
    for start, stop in pairwise(turns):
        offset = _offset(clock, start)
        shown = start + offset if reached is None else reached
        if stop > begin:
            cut = max(start, begin)
            if cut > start:
                shown = max(shown, cut + offset)
            found.append(Stretch(cut, stop, offset, shown))
        reached = stop + offset if reached is None else max(reached, stop + offset)
    return tuple(found)


def _changes(clock: ZoneInfo, begin: int, end: int) -> Iterator[int]:
    """The seconds in (begin, end) at which the offset changes.

    Days are compared, then halved: two changes within a day that undo each other would be missed; no zone has had such
    a pair since 1970.
    """
    at, before = begin, _offset(clock, begin)
    for day in range(begin + DAY, end + DAY, DAY):
        last = min(day, end - 1)
        while _offset(clock, last) != before:
            at = _change_between(clock, at, last)
            before = _offset(clock, at)
            yield at
        at = last


def _change_between(clock: ZoneInfo, low: int, high: int) -> int:
    """A second after `low`, `high` at the latest, from which the offset is no longer that of `low`."""
    before = _offset(clock, low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(clock, middle) == before else (low, middle)
    return high


def _offset(clock: ZoneInfo, utc: int) -> int:
    shift = datetime.fromtimestamp(utc, clock).utcoffset() or timedelta()
    return shift.days * DAY + shift.seconds


def _utc_second(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
