"""Planner: works out what becomes of due schedules, ahead of their time where there is time."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.model import Status
from tasks.schedule import Cron, Misfire, due_occurrences
from tasks.store import DueSchedule, FireOrder
from tasks.submission import stored_cron

#: Milliseconds by which an occurrence may be late before it counts as missed.
MISFIRE_GRACE = 60_000
#: Orders kept ready; more schedules than that at once are worked out when they are due.
MOST_READY = 50_000


class Planner:
    """Makes the order for a schedule whose time has come. An order that was made ahead is used if it still holds."""

    def __init__(self) -> None:
        self._ready: dict[str, FireOrder] = {}

    def prepare(self, schedules: Iterable[DueSchedule]) -> None:
        """Work out what becomes of schedules that will be due. Those that cannot be are left for their time."""
        for schedule in schedules:
            if len(self._ready) >= MOST_READY:
                self._ready.clear()
            try:
                self._ready[schedule.task_id] = order(schedule, schedule.due_at)
            except Exception:  # noqa: BLE001 - told when it is due, by `order`
                self._ready.pop(schedule.task_id, None)

    def order(self, schedule: DueSchedule, now: int) -> FireOrder:
        """What becomes of a schedule that is due. Raises whatever is wrong with it."""
        ready = self._ready.pop(schedule.task_id, None)
        if ready is not None and ready.schedule == schedule and now - schedule.due_at < MISFIRE_GRACE:
            following = ready.next_due
            if following is None or now < following:
                return ready
        return order(schedule, now)


def order(schedule: DueSchedule, now: int) -> FireOrder:
    """What becomes at `now` of the occurrences of a schedule that have come. Raises whatever is wrong with it."""
    timing = schedule.timing
    cron = stored_cron(schedule.task_id, timing)
    paused = schedule.status == Status.PAUSED
    firing = due_occurrences(
        cron,
        due_at=schedule.due_at,
        now=now,
        misfire=Misfire.SKIP if paused else Misfire(timing["misfire"]),
        misfire_limit=timing["misfire_limit"],
        grace=0 if paused else MISFIRE_GRACE,
    )
    return FireOrder(
        schedule=schedule,
        next_due=firing.next_due,
        overlap=timing["overlap"],
        max_runs=timing.get("max_runs"),
        fire=firing.fire,
        skip=firing.skipped,
        missed=firing.skipped_more,
        reason="paused" if paused else "misfire",
    )


def missed_until(cron: Cron, due_at: int, now: int) -> tuple[tuple[int, ...], int]:
    """The occurrences from `due_at` up to `now`, none of which is to run: the newest ones, and how many more."""
    firing = due_occurrences(cron, due_at=due_at, now=now, misfire=Misfire.SKIP, misfire_limit=1, grace=0)
    return firing.skipped, firing.skipped_more
