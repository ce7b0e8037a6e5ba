"""What a schedule is going to do, for people to look at before it does it: times, remarks, plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints

from tasks import cron_text, moment
from tasks.errors import InvalidTask
from tasks.schedule import Cron, Remark, remarks, schedule_problems
from tasks.submission import MomentText, not_an_object, stored_cron
from tasks.validation import Fields, unknown_fields, validated
from tasks.wall_clock import DAY, stretches_from

#: Occurrences shown where nobody asks for another number, and at the most.
SHOWN, MOST_SHOWN = 5, 100
#: Days that are searched for occurrences which a change of the clock touches, and how many of them are listed.
DAYS_SEARCHED, TOUCHED_LISTED = 400, 10
#: Occurrences listed around one change of the clock: a schedule of every second has thousands there.
TOUCHED_EACH = 3


class PreviewFields(Fields):
    """What may be asked of a preview."""

    cron_expression: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(
        description="As in a task."
    )
    timezone: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        default="UTC", description="IANA name of the zone."
    )
    start_at: MomentText | None = Field(default=None, description="No occurrence before this moment.")
    end_at: MomentText | None = Field(default=None, description="No occurrence after this moment.")
    after: MomentText | None = Field(default=None, description="Show what comes after this moment instead of now.")
    count: Annotated[int, Field(ge=1, le=MOST_SHOWN)] = Field(default=SHOWN, description="How many to show.")
    task_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{36}$")] | None = Field(
        default=None, description="The task whose `H` is meant; a new task has another."
    )


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a schedule is going to do."""

    cron: Cron
    #: The next occurrences, milliseconds.
    moments: Sequence[int]
    #: Which of these a change of the clock touches, and those within about a year that it does.
    remarks: Sequence[Remark]
    touched: Sequence[Remark]

    def sentence(self, language: cron_text.Language) -> str:
        """The schedule in words."""
        return cron_text.describe(self.cron, language)

    def local(self, due: int) -> str:
        """A moment on the clock of the schedule's zone, RFC 3339 with its offset."""
        return datetime.fromtimestamp(due / 1000, ZoneInfo(self.cron.zone)).isoformat()


def preview(body: Any, now: int) -> Preview:
    """What the schedule that `body` describes is going to do after `now`. Raises InvalidTask with every problem."""
    if not isinstance(body, dict):
        raise not_an_object()
    problems = list(unknown_fields(body, PreviewFields.model_fields))
    asked = validated(PreviewFields, {k: v for k, v in body.items() if k in PreviewFields.model_fields}, problems)
    if asked is None:
        raise InvalidTask(problems)
    since = now if asked.after is None else moment.parse(asked.after)
    timing = asked.model_dump(include={"cron_expression", "timezone", "start_at", "end_at"})
    cron = stored_cron(asked.task_id or "", timing)
    problems.extend(schedule_problems(cron, since))
    if problems:
        raise InvalidTask(problems)
    return preview_of(cron, since, asked.count)


def preview_of(cron: Cron, since: int, count: int) -> Preview:
    """What a schedule that can be read is going to do after `since`."""
    moments = cron.upcoming(since, count)
    return Preview(cron=cron, moments=moments, remarks=remarks(cron, moments), touched=touched(cron, since))


def touched(cron: Cron, since: int) -> Sequence[Remark]:
    """The occurrences in the days ahead that a change of the clock moves, doubles or leaves out, oldest first."""
    found: dict[int, Remark] = {}
    for stretch in stretches_from(cron.zone, since // 1000, 2):
        if stretch.start > since // 1000 + DAYS_SEARCHED * DAY or len(found) >= TOUCHED_LISTED:
            break
        repeated = stretch.reached - stretch.wall_start
        if stretch.start <= since // 1000 or not repeated:
            continue
        # In the gap: what runs at its end. In the overlap: before the jump back, and after it.
        spans = [(stretch.start, stretch.start + max(repeated, 1))]
        if repeated > 0:
            spans.insert(0, (stretch.start - repeated, stretch.start))
        for begin, end in spans:
            due = _between(cron, max(begin * 1000, since + 1), end * 1000)
            found.update({remark.moment: remark for remark in remarks(cron, due)})
    return [found[due] for due in sorted(found)][:TOUCHED_LISTED]


def _between(cron: Cron, begin: int, end: int) -> list[int]:
    return [due for due in cron.upcoming(begin - 1, TOUCHED_EACH) if due < end]
