"""The Beat scheduler: fires what is due, reaps what its worker lost, prunes what is old. Any number may run."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

from celery.beat import Scheduler

from tasks.errors import StoreUnavailable
from tasks.planner import MISFIRE_GRACE, Planner
from tasks.store import Due, DueSchedule, FireOrder

log = logging.getLogger(__name__)

#: Seconds that Beat sleeps at the most.
LONGEST_SLEEP = 1.0
#: Seconds by which Redis may be late to say that a wait is over: it looks ten times a second (its setting `hz`).
SLOW_WAKE = 0.11
#: Due entries taken in one step.
BATCH = 500
#: Schedules that one script fires, so that Redis answers others in between.
FIRED_TOGETHER = 100
#: Bells rung for one batch; what waits beyond that is found by the workers that these wake.
RUNG_TOGETHER = 100
#: Milliseconds that Beat looks ahead, to have the next times ready when a minute begins.
AHEAD = 30_000
#: Seconds before the next due time at which Beat stops to work ahead.
CALM = 0.1
#: Seconds between two looks for leases that ran out, and for tasks that are kept long enough.
REAP_EVERY = 5.0
PRUNE_EVERY = 10.0


class DueScheduler(Scheduler):  # type: ignore[misc]  # celery has no types
    """Celery Beat's scheduler over our Store: nothing is kept here, so losing a Beat loses nothing."""

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, **{**options, "lazy": True})
        self._store = app.store
        self._bell = app.bell
        self._ttl = app.settings.result_ttl
        self._planner = Planner()
        #: Up to which due time schedules are prepared; the window in work, and how many of it have been looked at.
        self._ahead_until = 0
        self._window = (0, 0)
        self._looked_at: int | None = None
        self._next_reap = 0.0
        self._next_prune = 0.0
        self._away = False

    def setup_schedule(self) -> None:
        """Nothing to set up: the due set in Redis is the schedule."""

    def tick(self, *_: Any, **__: Any) -> float:
        """One step, then sleep until something is due; seconds that Beat should sleep besides (0 but for trouble)."""
        try:
            # First what works while Redis is full, and what makes room in it.
            self._store.tick()
            self._reap()
            self._prune()
            due = self._store.due(BATCH)
            self._fire(due)
            self._welcome_back()
            self._rest(due)
        except StoreUnavailable as error:
            if not self._away:
                log.error("beat waits for Redis: %s", error)
            self._away = True
            return LONGEST_SLEEP
        return 0.0

    def close(self) -> None:
        """Nothing to write down."""

    def _welcome_back(self) -> None:
        if self._away:
            log.warning("beat has Redis again")
        self._away = False

    def _fire(self, due: Due) -> None:
        if due.queued:
            self._bell.ring(due.queued[:RUNG_TOGETHER])
        orders = list(self._orders(due))
        for first in range(0, len(orders), FIRED_TOGETHER):
            together = orders[first : first + FIRED_TOGETHER]
            queued = [run_id for runs in self._fire_together(together, due.now) for run_id in runs]
            if queued and first < RUNG_TOGETHER:
                self._bell.ring(queued[:RUNG_TOGETHER])

    def _orders(self, due: Due) -> Iterator[FireOrder]:
        for schedule in due.schedules:
            try:
                yield self._planner.order(schedule, due.now)
            except Exception:
                log.exception("task %s: its schedule cannot be fired", schedule.task_id)
                yield _later(schedule, due.now)

    def _fire_together(self, orders: Sequence[FireOrder], now: int) -> Sequence[Sequence[str]]:
        try:
            return list(self._store.fire(orders))
        except StoreUnavailable:
            raise
        except Exception:
            if len(orders) > 1:
                # One of them breaks the script; alone it cannot hold up the others.
                return [runs for order in orders for runs in self._fire_together([order], now)]
            log.exception("task %s: its schedule cannot be fired", orders[0].schedule.task_id)
            return list(self._store.fire([_later(orders[0].schedule, now)]))

    def _reap(self) -> None:
        if time.monotonic() < self._next_reap:
            return
        self._next_reap = time.monotonic() + REAP_EVERY
        reaped = self._store.reap(BATCH)
        for run_id, status in reaped:
            log.warning("task run %s taken from a worker that is gone: now %s", run_id, status)
        again = [run_id for run_id, status in reaped if status == "queued"]
        if again:
            self._bell.ring(again)

    def _prune(self) -> None:
        if time.monotonic() < self._next_prune:
            return
        self._next_prune = time.monotonic() + PRUNE_EVERY
        if self._store.prune(self._ttl, BATCH) == BATCH:
            self._next_prune = 0.0

    def _rest(self, due: Due) -> None:
        if len(due.queued) + len(due.schedules) >= BATCH:
            return
        begun = time.monotonic()
        left = LONGEST_SLEEP if due.next_due is None else (due.next_due - due.now) / 1000
        left = min(left, LONGEST_SLEEP)
        self._work_ahead(due.now, begun + left - CALM)
        left -= time.monotonic() - begun
        if left > SLOW_WAKE:
            self._store.await_wake(left - SLOW_WAKE)
        elif left > 0:
            time.sleep(left)

    def _work_ahead(self, now: int, end: float) -> None:
        """Prepare what is due soon, page by page, until `end` (monotonic)."""
        while time.monotonic() < end:
            if self._looked_at is None:
                if self._ahead_until >= now + AHEAD - LONGEST_SLEEP * 1000:
                    return
                self._window = (max(self._ahead_until, now), now + AHEAD)
                self._looked_at = 0
            soon = self._store.upcoming(*self._window, offset=self._looked_at, limit=BATCH)
            self._planner.prepare(soon)
            self._looked_at += len(soon)
            if len(soon) < BATCH:
                self._ahead_until, self._looked_at = self._window[1], None


def _later(schedule: DueSchedule, now: int) -> FireOrder:
    """Look at a schedule that breaks us again in a minute, so that it cannot hold up the others."""
    return FireOrder(schedule=schedule, next_due=now + MISFIRE_GRACE, overlap="skip", max_runs=None, fire=())
