"""When a task runs: at once, at a moment, or by a cron expression on the clock of a zone.

Moments are integers, milliseconds since 1970-01-01T00:00:00Z, and are passed in: nothing here reads a clock.
What happens where a clock jumps is told in tasks.occurrence and docs/explain/schedules.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from tasks import occurrence
from tasks.cron_expression import read
from tasks.cron_field import InvalidSchedule
from tasks.cron_pattern import Pattern
from tasks.errors import FieldProblem
from tasks.occurrence import Remark, Touch
from tasks.wall_clock import LAST_YEAR, similar_zone, year_of, zone_names

__all__ = [
    "At",
    "Cron",
    "Firing",
    "InvalidSchedule",
    "Misfire",
    "Now",
    "Overlap",
    "Remark",
    "Schedule",
    "Touch",
    "due_occurrences",
    "parse_cron",
    "remarks",
    "schedule_problems",
]

#: How many skipped occurrences are listed one by one; the others are counted.
SKIPPED_LISTED = 100
#: How many runs one firing starts at most, however long the grace.
FIRED_AT_ONCE = 1000


class Schedule(Protocol):
    """Answers when a task runs."""

    def next_after(self, moment: int) -> int | None:
        """The first due moment strictly after `moment`; None: never again."""
        ...


@dataclass(frozen=True)
class Now:
    """At once, and once: there is nothing to wait for."""

    def next_after(self, moment: int) -> int | None:  # noqa: ARG002 - the Schedule contract
        """None: what runs at once is never due again."""
        return None


@dataclass(frozen=True)
class At:
    """Once, at a moment."""

    moment: int

    def next_after(self, moment: int) -> int | None:
        """The moment itself while it lies ahead."""
        return self.moment if self.moment > moment else None


@dataclass(frozen=True, kw_only=True)
class Cron:
    """By a cron expression on the clock of a zone.

    Made from stored text without a check; each method raises InvalidSchedule where the expression cannot be read.
    """

    expression: str
    zone: str = "UTC"
    #: The task's id: what `H` in the expression is drawn from.
    key: str
    #: First and last moment at which it may run, both included.
    start_at: int | None = None
    end_at: int | None = None

    @property
    def pattern(self) -> Pattern:
        """The wall-clock times that the expression names."""
        return read(self.expression, self.key)

    def next_after(self, moment: int) -> int | None:
        """The first occurrence strictly after `moment`; None: never again (or not within fifty years)."""
        since = moment // 1000 + 1
        if self.start_at is not None:
            since = max(since, -(-self.start_at // 1000))
        found = occurrence.first_from(self.pattern, self.zone, since)
        if found is None or (self.end_at is not None and found * 1000 > self.end_at):
            return None
        return found * 1000

    def upcoming(self, moment: int, count: int) -> list[int]:
        """The next `count` occurrences strictly after `moment`, fewer where the schedule ends before."""
        found: list[int] = []
        while len(found) < count:
            due = self.next_after(found[-1] if found else moment)
            if due is None:
                break
            found.append(due)
        return found

    def latest_until(self, moment: int) -> int | None:
        """The last occurrence at or before `moment`."""
        until = moment if self.end_at is None else min(moment, self.end_at)
        found = occurrence.last_until(self.pattern, self.zone, until // 1000)
        if found is None or (self.start_at is not None and found * 1000 < self.start_at):
            return None
        return found * 1000

    def count(self, after: int, until: int) -> int:
        """How many occurrences lie after `after` and at or before `until`; exact, and cheap over years."""
        since = after // 1000 + 1
        if self.start_at is not None:
            since = max(since, -(-self.start_at // 1000))
        last = (until if self.end_at is None else min(until, self.end_at)) // 1000
        return occurrence.count(self.pattern, self.zone, since, last)


def parse_cron(
    *,
    expression: str,
    timezone: str,
    key: str,
    start_at: int | None = None,
    end_at: int | None = None,
    now: int,
) -> Cron:
    """The schedule that a submission asks for, which runs at least once after `now`.

    Raises InvalidSchedule with every problem at once, at `/cron_expression`, `/timezone`, `/start_at` or `/end_at`.
    """
    cron = Cron(expression=expression, zone=timezone, key=key, start_at=start_at, end_at=end_at)
    problems = schedule_problems(cron, now)
    if problems:
        raise InvalidSchedule(problems)
    return cron


def schedule_problems(cron: Cron, now: int) -> list[FieldProblem]:
    """Everything that is wrong with a schedule, which has to run at least once after `now`."""
    problems = [*_expression_problems(cron), *_zone_problems(cron.zone), *_span_problems(cron, now)]
    if not problems and cron.next_after(now) is None:
        problems.append(_no_occurrence(cron))
    return problems


def _expression_problems(cron: Cron) -> tuple[FieldProblem, ...]:
    try:
        read(cron.expression, cron.key)
    except InvalidSchedule as error:
        return error.problems
    return ()


def _zone_problems(name: str) -> Iterator[FieldProblem]:
    if name in zone_names():
        return
    similar = similar_zone(name[:64])
    advice = f"did you mean {similar}?" if similar else "use an IANA name such as Asia/Shanghai or UTC."
    message = f"`{name[:64]}` is not a time zone; {advice}" if name else f"The time zone is empty; {advice}"
    yield FieldProblem(pointer="/timezone", code="unknown_timezone", message=message)


def _span_problems(cron: Cron, now: int) -> Iterator[FieldProblem]:
    if cron.start_at is not None and year_of(cron.start_at // 1000) >= LAST_YEAR:
        yield FieldProblem(
            pointer="/start_at", code="too_far", message="`start_at` is too far away; use an earlier one."
        )
    if cron.end_at is None:
        return
    if cron.end_at <= now:
        yield FieldProblem(pointer="/end_at", code="in_the_past", message="`end_at` has passed; use a later one.")
    elif cron.start_at is not None and cron.end_at < cron.start_at:
        yield FieldProblem(
            pointer="/end_at", code="before_start", message="`end_at` is before `start_at`; use a later one."
        )


def _no_occurrence(cron: Cron) -> FieldProblem:
    if cron.end_at is not None:
        return FieldProblem(
            pointer="/end_at",
            code="never_fires",
            message="The schedule ends before its first run; use a later `end_at`.",
        )
    return FieldProblem(
        pointer="/cron_expression",
        code="never_fires",
        message="This would not run within fifty years; change the expression.",
    )


class Overlap(StrEnum):
    """What happens when a run is due while the one before still runs."""

    SKIP = "skip"
    QUEUE = "queue"
    ALLOW = "allow"


class Misfire(StrEnum):
    """What happens to the occurrences that passed while nobody could fire them."""

    ONCE = "once"
    SKIP = "skip"
    ALL = "all"


@dataclass(frozen=True)
class Firing:
    """What to do with a schedule whose time has come."""

    #: Due moments to run now, oldest first.
    fire: tuple[int, ...]
    #: Missed moments to record as skipped with the reason `misfire`, oldest first; the newest SKIPPED_LISTED of them.
    skipped: tuple[int, ...]
    #: How many older ones were missed beside those; exact.
    skipped_more: int
    #: The first due moment after `now`; None: the schedule is over.
    next_due: int | None


def due_occurrences(cron: Cron, *, due_at: int, now: int, misfire: Misfire, misfire_limit: int, grace: int) -> Firing:
    """What becomes of the occurrences from `due_at`, the stored next due moment, up to `now`.

    An occurrence is missed when it is late by `grace` (milliseconds) or more; all others run. Of the missed ones SKIP
    runs none and ALL the newest `misfire_limit`. Under ONCE, as soon as one was missed, a single run stands for all,
    the late and the punctual: the newest. The time this takes does not grow with the time away.
    """
    if due_at > now:
        return Firing(fire=(), skipped=(), skipped_more=0, next_due=due_at)
    total = 1 + cron.count(due_at, now)
    punctual = total if due_at > now - grace else cron.count(now - grace, now)
    runs = _runs(misfire, missed=total - punctual, punctual=punctual, limit=misfire_limit)
    newest = _newest(cron, due_at, now, min(total, runs + SKIPPED_LISTED))
    split = len(newest) - runs
    return Firing(
        fire=newest[split:],
        skipped=newest[:split],
        skipped_more=total - len(newest),
        next_due=cron.next_after(now),
    )


def _runs(misfire: Misfire, *, missed: int, punctual: int, limit: int) -> int:
    """How many of the newest occurrences run."""
    if missed and misfire is Misfire.ONCE:
        return 1
    caught_up = min(missed, limit) if misfire is Misfire.ALL else 0
    return min(punctual + caught_up, FIRED_AT_ONCE)


def _newest(cron: Cron, due_at: int, now: int, count: int) -> tuple[int, ...]:
    """The newest `count` occurrences from `due_at` to `now`, oldest first; `due_at` counts, whatever the clock says."""
    found: list[int] = []
    moment = now
    while len(found) < count:
        due = cron.latest_until(moment)
        if due is None or due <= due_at:
            found.append(due_at)
            break
        found.append(due)
        moment = due - 1
    return tuple(reversed(found))


def remarks(cron: Cron, moments: Iterable[int]) -> list[Remark]:
    """For a preview: those of the given occurrences that a change of the clock touches, in their order."""
    found = (occurrence.remark(cron.pattern, cron.zone, moment) for moment in moments)
    return [remark for remark in found if remark is not None]
