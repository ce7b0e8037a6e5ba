"""A preview says what is going to happen: the same as `next_runs`, and the same as what fires."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tasks import moment
from tasks.errors import InvalidTask
from tasks.model import Status
from tasks.planner import Planner
from tasks.preview import Preview, preview
from tasks.store import Store
from tasks.wall_clock import zone_names
from tests.make import NOW, fire_as_seen, make_timing, submit


def seen(expression: str, zone: str = "UTC", now: int = NOW, **fields: Any) -> Preview:
    return preview({"cron_expression": expression, "timezone": zone, **fields}, now)


def locals_of(told: Preview) -> list[str]:
    return [told.local(due) for due in told.moments]


def test_the_sentence_is_plain_in_both_languages() -> None:
    told = seen("30 2 * * 1-5", "America/New_York")
    assert told.sentence("en") == "every weekday at 02:30, New York"
    assert "02:30" in told.sentence("zh")
    assert "工作日" in told.sentence("zh")


def test_the_spring_gap_of_new_york_is_shown_before_it_comes() -> None:
    told = seen("30 2 * * *", "America/New_York", after="2026-03-06T12:00:00-05:00", count=3)
    assert locals_of(told) == ["2026-03-07T02:30:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"]
    (remark,) = told.remarks
    assert (remark.moment, remark.touch, remark.wall) == (told.moments[1], "moved", "2026-03-08 02:30:00")


def test_a_change_of_the_clock_within_a_year_is_told_though_it_is_far_beyond_the_list() -> None:
    told = seen("30 1 * * *", "America/New_York")
    assert told.remarks == []
    assert [(told.local(each.moment), each.touch) for each in told.touched] == [
        ("2026-11-01T01:30:00-04:00", "first_only"),
    ]
    both = seen("*/30 * * * *", "America/New_York").touched
    assert {each.touch for each in both} == {"both"}
    assert seen("30 12 * * *", "America/New_York").touched == []
    assert seen("30 1 * * *", "Asia/Shanghai").touched == []


def test_a_schedule_of_every_second_is_told_briefly() -> None:
    assert 0 < len(seen("* * * * * *", "Europe/London").touched) <= 10


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(InvalidTask) as told:
        seen("61 * * * *", "Mars/Olympus", colour="red", end_at="2020-01-01T00:00:00Z")
    assert {each.pointer for each in told.value.problems} == {"/colour", "/cron_expression", "/timezone", "/end_at"}
    with pytest.raises(InvalidTask):
        preview([], NOW)
    with pytest.raises(InvalidTask):
        preview({"timezone": "UTC", "count": 101}, NOW)


def test_h_is_that_of_the_task_that_is_named() -> None:
    one, two = (seen("H H * * *", task_id=f"{n:08x}-0000-7000-8000-000000000000", count=1).moments for n in (1, 2))
    assert one == seen("H H * * *", task_id="00000001-0000-7000-8000-000000000000", count=1).moments
    assert one != two


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Shanghai"])
@pytest.mark.parametrize("expression", ["30 2 * * *", "15 */2 * * *", "*/30 1-3 * * *", "0 0 * * *"])
def test_what_is_previewed_is_what_fires(store: Store, zone: str, expression: str) -> None:
    """Two hundred times round: Beat fires the task at each time that the preview names, and at no other."""
    timing = make_timing(cron_expression=expression, timezone=zone, overlap="allow")
    begin = moment.parse("2026-03-01T00:00:00Z")
    told = seen(expression, zone, now=begin, count=100).moments
    task = submit(store, task_type="scheduled", timing=timing, next_run_at=told[0], history=1000)
    fired = []
    for at, following in pairwise((*told, told[-1] + 1)):
        (schedule,) = store.due(5).schedules
        order = Planner().order(schedule, min(at + 5, following - 1))
        assert (order.fire, order.skip) == ((at,), ())
        fire_as_seen(store, schedule, next_due=order.next_due, fire=order.fire)
        fired.append(schedule.due_at)
    assert fired == list(told)
    runs = store.runs(task.id, limit=500)[0]
    assert [run.due_at for run in reversed(runs)] == list(told)
    assert all(run.status is Status.QUEUED for run in runs)


def test_every_zone_can_be_previewed() -> None:
    for zone in zone_names():
        told = seen("30 2 * * *", zone, count=2)
        assert len(told.moments) == 2
        assert told.sentence("en")
        assert told.sentence("zh")
