"""Orders made ahead of their time are used only while they hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tasks.planner import MISFIRE_GRACE, Planner, order
from tasks.store import DueSchedule
from tests.make import HOUR, NOW, make_timing


def schedule(due: int = NOW, *, status: str = "scheduled", **timing: Any) -> DueSchedule:
    told = {"name": "a task", "timing": make_timing(**{"cron_expression": "0 * * * *", **timing})}
    return DueSchedule(task_id="t", due_at=due, status=status, text=json.dumps(told))


def test_an_order_made_ahead_is_the_one_that_is_used() -> None:
    planner = Planner()
    planner.prepare([schedule()])
    ready = planner._ready["t"]
    assert planner.order(schedule(), NOW + 3) is ready
    assert ready == order(schedule(), NOW + 3)
    assert planner.order(schedule(), NOW + 3) is not ready


@pytest.mark.parametrize(
    "changed",
    [
        schedule(NOW + HOUR),
        schedule(status="paused"),
        schedule(cron_expression="30 * * * *"),
        schedule(overlap="allow"),
    ],
)
def test_an_order_for_what_a_schedule_was_is_not_used(changed: DueSchedule) -> None:
    planner = Planner()
    planner.prepare([schedule()])
    assert planner.order(changed, changed.due_at) == order(changed, changed.due_at)


def test_an_order_made_ahead_is_not_used_once_more_is_due() -> None:
    often = schedule(cron_expression="* * * * * *")
    planner = Planner()
    planner.prepare([often])
    assert planner.order(often, NOW + 2500).fire == (NOW, NOW + 1000, NOW + 2000)
    planner.prepare([schedule(misfire="skip")])
    assert planner.order(schedule(misfire="skip"), NOW + MISFIRE_GRACE).skip == (NOW,)


def test_a_paused_schedule_skips_even_what_is_on_time() -> None:
    made = order(schedule(status="paused"), NOW)
    assert (made.fire, made.skip, made.reason, made.next_due) == ((), (NOW,), "paused", NOW + HOUR)


def test_a_schedule_that_cannot_be_read_is_told_when_it_is_due_and_not_before() -> None:
    broken = schedule(timezone="Mars/Olympus")
    planner = Planner()
    planner.prepare([broken, schedule()])
    with pytest.raises(Exception, match="Mars"):
        planner.order(broken, NOW)
