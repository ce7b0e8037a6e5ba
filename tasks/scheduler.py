"""The Beat scheduler: fires what is due, reaps what its worker lost, prunes what is old. Any number may run."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery.beat import Scheduler

from tasks.errors import StoreUnavailable
from tasks.schedule import Misfire, due_occurrences
from tasks.store import Due, DueSchedule
from tasks.submission import cron_of

log = logging.getLogger(__name__)

#: Seconds that Beat sleeps at the most.
LONGEST_SLEEP = 1.0
#: Seconds by which Redis may be late to say that a wait is over: it looks ten times a second (its setting `hz`).
SLOW_WAKE = 0.11
#: Due entries taken in one step.
BATCH = 500
#: Seconds between two looks for leases that ran out, and for tasks that are kept long enough.
REAP_EVERY = 5.0
PRUNE_EVERY = 10.0
#: Milliseconds by which an occurrence may be late before it counts as missed.
MISFIRE_GRACE = 60_000


class DueScheduler(Scheduler):  # type: ignore[misc]  # celery has no types
    """Celery Beat's scheduler over our Store: nothing is kept here, so losing a Beat loses nothing."""

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, **{**options, "lazy": True})
        self._store = app.store
        self._bell = app.bell
        self._ttl = app.settings.result_ttl
        self._next_reap = 0.0
        self._next_prune = 0.0
        self._away = False

    def setup_schedule(self) -> None:
        """Nothing to set up: the due set in Redis is the schedule."""

    def tick(self, *_: Any, **__: Any) -> float:
        """One step, then sleep until something is due; seconds that Beat should sleep besides (0 but for trouble)."""
        try:
            # First what works while Redis is full, and what makes room in it.
            self._reap()
            self._prune()
            due = self._store.due(BATCH)
            self._fire(due)
            self._store.tick(due.now)
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
            self._bell.ring(due.queued)
        for schedule in due.schedules:
            try:
                self._fire_schedule(schedule, due.now)
            except StoreUnavailable:
                raise
            except Exception:
                log.exception("task %s: its schedule cannot be fired", schedule.task_id)
                self._postpone(schedule, due.now)

    def _fire_schedule(self, schedule: DueSchedule, now: int) -> None:
        timing = schedule.about["timing"]
        firing = due_occurrences(
            cron_of(schedule.task_id, timing, schedule.due_at - 1),
            due_at=schedule.due_at,
            now=now,
            misfire=Misfire(timing["misfire"]),
            misfire_limit=timing["misfire_limit"],
            grace=MISFIRE_GRACE,
        )
        queued = self._store.fire(
            schedule,
            next_due=firing.next_due,
            overlap=timing["overlap"],
            max_runs=timing.get("max_runs"),
            fire=firing.fire,
            skip=firing.skipped,
            missed=firing.skipped_more,
        )
        if queued:
            self._bell.ring(queued)

    def _postpone(self, schedule: DueSchedule, now: int) -> None:
        """Look at a schedule that breaks us again in a minute, so that it cannot hold up the others."""
        self._store.fire(
            schedule, next_due=now + MISFIRE_GRACE, overlap="skip", max_runs=None, fire=(), skip=(), missed=0
        )

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
        left = LONGEST_SLEEP if due.next_due is None else (due.next_due - due.now) / 1000
        left = min(left, LONGEST_SLEEP)
        if left > SLOW_WAKE:
            self._store.await_wake(left - SLOW_WAKE)
        elif left > 0:
            time.sleep(left)
