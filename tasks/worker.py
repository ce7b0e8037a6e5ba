"""Worker: claims runs, performs them, and records how they ended."""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from config.settings import Settings
from tasks import moment, retry
from tasks.base_tasks import Kind, Spec
from tasks.claims import Claims
from tasks.confidential import Mask
from tasks.deliverer import Deliverer
from tasks.errors import StoreUnavailable
from tasks.keyring import Keyring, Locked
from tasks.live_output import LiveOutput, Tail
from tasks.model import Done, Failed, Limits, Outcome, Status
from tasks.precedence import OWN
from tasks.report import Report
from tasks.slots import Slots
from tasks.store import Claim, Store
from tasks.store.parse import retry as retry_policy

log = logging.getLogger(__name__)

#: Seconds between heartbeats; a stop reaches the worker at once, or with the next of these.
PULSE = 1.0
#: Runs that a thread has found waiting one after the other when there is no keeping up.
BEHIND = 3
#: Seconds by which an attempt may overrun its deadline before its thread counts as stuck.
OVERRUN = 30.0
#: Seconds in which interrupted runs must have ended when the worker stops.
LAST_BREATH = 5.0
#: What came of an attempt that this service itself failed at.
BROKEN = Failed(code="internal_error", message="The service failed at this; see its log.", permanent=False)
#: Exit code of a worker that had to leave stuck threads behind.
STUCK = 70


@dataclass(kw_only=True, eq=False)
class Work:
    """A claim in progress, and the line to it."""

    claim: Claim
    report: Report
    deadline: float
    tail: Tail


class Worker:
    """One worker process. `hear` is what a bell sets off; everything else keeps its promises."""

    def __init__(
        self,
        *,
        store: Store,
        kinds: Mapping[str, Kind],
        settings: Settings,
        ring: Callable[[Iterable[str]], None],
        leave: Callable[[int], None] = os._exit,
    ) -> None:
        self._store = store
        self._kinds = kinds
        self._settings = settings
        self._ring = ring
        self._leave = leave
        self.name = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        most = dict.fromkeys(kinds, settings.max_concurrent_tasks)
        self._keyring = Keyring(store, settings)
        self._slots = Slots(total=settings.max_concurrent_tasks, most={**most, "code": settings.code_slots})
        self._claiming = threading.Lock()
        self._claims = Claims(lambda: store.connection.missed_at)
        #: By run and attempt: an attempt that was taken away may still be ending when the next one begins.
        self._works: dict[str, Work] = {}
        self._deliverer = Deliverer(store.deliveries, settings)
        self._output = LiveOutput(store.live, self.name, lambda: [work.tail for work in self._works.copy().values()])
        self._draining = threading.Event()
        self._closed = threading.Event()
        self._signing, self._closing = threading.Lock(), threading.Lock()
        self._grace_ends = float("inf")
        self._started_at = moment.now()
        self._pulse_thread: threading.Thread | None = None
        self._is_behind = False
        self._seen: Set[str] = frozenset()

    # --- from bell to outcome ------------------------------------------------------------------------------------

    def hear(self, run_id: str) -> None:
        """Do the run that a bell was rung for, then whatever of its kind waits."""
        claim, done = self._claim(run_id), 0
        while claim is not None:
            outcome, report = self._perform(claim)
            claim, done = self._finish(claim, outcome, report), done + 1
            if claim is not None and done >= BEHIND:
                self._is_behind = True
                OWN.set_back(True)

    def _claim(self, run_id: str) -> Claim | None:
        # One claim at a time: which kinds there is room for must still be true when the answer comes.
        with self._claiming:
            if self._draining.is_set():
                return None
            try:
                claim = self._store.claim(self.name, self._slots.rooms, run_id, of_one_owner=self._settings.run_quota)
            except StoreUnavailable as error:
                log.warning("task run %s not claimed, it is rung for again: %s", run_id, error)
                return None
            if isinstance(claim, str):
                self._slots.miss(claim)
                return None
            if claim is not None:
                self._slots.take(claim.kind)
                self._claims.know(claim)
            return claim

    def _perform(self, claim: Claim) -> tuple[Outcome, Report]:
        kind = self._kinds[claim.kind]
        try:
            spec, mask, confidential = self._unlock(claim, kind)
        except Locked as locked:
            return locked.failure, Report(0)
        except Exception:
            log.exception("task run %s broke its kind", claim.run_id)
            return BROKEN, Report(0)
        timeout = float(claim.about["timeout"])
        limits = Limits(timeout=timeout, max_result_bytes=self._settings.max_result_bytes)
        repeated = bool(claim.about.get("retry"))
        report = Report(
            self._settings.max_output_bytes,
            idempotency_key=claim.run_id if repeated else None,
            printed=self._output.printed,
            mask=mask.text,
            confidential=confidential,
        )
        deadline = time.monotonic() + timeout + OVERRUN
        self._works[claim.id] = Work(claim=claim, report=report, deadline=deadline, tail=Tail(claim, report))
        if self._draining.is_set() and self._grace_is_over:
            report.stop("shutdown")
        log.info("task run %s started, attempt %d", claim.run_id, claim.attempt)
        try:
            outcome = mask.outcome(kind.run(spec, limits, report))
        except Exception:
            log.exception("task run %s broke its kind", claim.run_id)
            outcome = BROKEN
        return outcome, report

    def _unlock(self, claim: Claim, kind: Kind) -> tuple[Spec, Mask, bool]:
        """What to do, with its secrets, for as long as Redis takes to tell them."""
        while True:
            try:
                return self._keyring.unlock(claim, kind)
            except StoreUnavailable:
                if self._closed.is_set():
                    raise
                time.sleep(0.5)

    def _finish(self, claim: Claim, outcome: Outcome, report: Report) -> Claim | None:
        if (work := self._works.get(claim.id)) is not None:
            # Nothing is left to interrupt, however long Redis takes to hear of it.
            work.deadline = math.inf
        try:
            recorded, following = self._record_something(claim, outcome, report)
        finally:
            self._works.pop(claim.id, None)
            self._claims.forget(claim)
        if not recorded:
            log.warning("task run %s was deleted or taken from this worker; its outcome is dropped", claim.run_id)
        return following or self._give(claim.kind)

    def _give(self, kind: str) -> Claim | None:
        """Give the slot back, and take what was turned away while it was ours."""
        with self._claiming:
            self._slots.give(kind)
            again = self._slots.missed()
            if not again or self._draining.is_set():
                return None
            try:
                claim = self._store.claim(self.name, again, of_one_owner=self._settings.run_quota)
            except StoreUnavailable:
                return None
            if isinstance(claim, Claim):
                self._slots.take(claim.kind)
                self._claims.know(claim)
                return claim
            return None

    def _record_something(self, claim: Claim, outcome: Outcome, report: Report) -> tuple[bool, Claim | None]:
        """Write the outcome, or that there is one that cannot be written: the slot must come back either way."""
        try:
            return self._record(claim, outcome, report)
        except ValueError:  # NaN or half a surrogate pair: no kind may say it, but a run must not stay open for it
            log.exception("task run %s has an outcome that cannot be stored", claim.run_id)
            return self._record(claim, BROKEN, Report(0))

    def _record(self, claim: Claim, outcome: Outcome, report: Report) -> tuple[bool, Claim | None]:
        """Write the outcome, for as long as Redis takes to come back; the run's lease decides whether it counts."""
        told = _told(outcome, report)
        broken_off = report.stop_reason == "shutdown" and isinstance(outcome, Failed) and outcome.code == "stopped"
        pause = 0.2
        while True:
            try:
                if broken_off:
                    status = self._store.give_back(claim, self.name, told)
                    log.warning("task run %s broken off at shutdown: now %s", claim.run_id, status)
                    return status is not None, None
                return self._write(claim, outcome, told)
            except StoreUnavailable as error:
                if self._closed.is_set():
                    raise
                log.warning("task run %s not recorded yet: %s", claim.run_id, error)
                time.sleep(pause)
                pause = min(pause * 2, 5.0)

    def _write(self, claim: Claim, outcome: Outcome, told: Mapping[str, Any]) -> tuple[bool, Claim | None]:
        status, reason, again = _verdict(claim, outcome)
        with self._claims.another() as may:
            recorded, following = self._store.finish(
                claim,
                self.name,
                status=status,
                reason=reason,
                outcome=told,
                retry_after=again,
                next_kind=claim.kind if may and not self._draining.is_set() else "",
                of_one_owner=self._settings.run_quota,
            )
            if following is not None:
                self._claims.know(following)
        if recorded and "callback" in claim.about:
            self._deliverer.nudge()
        if recorded:
            if isinstance(outcome, Failed) and outcome.code == "stopped":
                status, reason = Status.STOPPED, ""
            level = logging.INFO if status in (Status.SUCCEEDED, Status.STOPPED) else logging.WARNING
            after = "" if again is None else f", again in {again / 1000:g} s"
            log.log(level, "task run %s %s%s%s", claim.run_id, status, f": {reason}" if reason else "", after)
        return recorded, following

    # --- heartbeat -----------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the kinds ready, before the first bell."""
        for kind in self._kinds.values():
            kind.prestart(runs=True)

    def start(self) -> None:
        """Begin to tell that this worker lives."""
        if self._pulse_thread is None:
            self._pulse_thread = threading.Thread(target=self._live, name="pulse", daemon=True)
            self._pulse_thread.start()
            log.info("worker %s is ready", self.name)

    def _live(self) -> None:
        away = False
        while not self._closed.is_set():
            try:
                self._pulse()
                self._listen(PULSE)
                if away:
                    log.warning("worker %s has Redis again", self.name)
                away = False
            except StoreUnavailable as error:
                if not away:
                    log.error("worker %s goes on without Redis: %s", self.name, error)
                away = True
                self._closed.wait(PULSE)
            except Exception:
                log.exception("worker %s: heartbeat failed", self.name)
                self._closed.wait(PULSE)

    def _pulse(self) -> None:
        works = self._works.copy()
        alive = {name: work for name, work in works.items() if time.monotonic() < work.deadline}
        with self._claiming:
            if (known := self._claims.all_known) is not None:
                self._undo(known)
            free = {} if self._draining.is_set() else self._slots.free
        with self._signing:
            # A heartbeat that comes after the sign-off would put this worker on the list again.
            if self._closed.is_set():
                return
            pulse = self._store.heartbeat(
                *(self.name, self._about(works), free, [work.claim for work in alive.values()]),
                of_one_owner=self._settings.run_quota,
            )
        for run_id in pulse.stops:
            self._stop(run_id, "stopped")
        for name in pulse.lost:
            alive[name].report.stop("lease_lost")
        if pulse.waiting:
            self._ring(pulse.waiting)
        if pulse.callbacks:
            self._deliverer.nudge()
        if len(alive) < len(works):
            self._give_up(works)
        self._take_place(works)

    def _take_place(self, works: Mapping[str, Work]) -> None:
        """Step back while there is no keeping up, or while something has been going on since the pulse before."""
        OWN.set_back(self._is_behind or not self._seen.isdisjoint(works))
        self._is_behind, self._seen = False, works.keys()

    def _undo(self, known: Sequence[str]) -> None:
        """Give up what was claimed for us while the answer was missed: the heartbeat rings for it."""
        for run_id in self._store.unclaim(self.name, known):
            log.warning("task run %s was claimed, but the answer never came; it is queued again", run_id)

    def _listen(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._closed.is_set() and (left := end - time.monotonic()) > 0.001:
            run_id = self._store.await_call(self.name, left)
            if run_id is not None:
                self._stop(run_id, "stopped")

    def _stop(self, run_id: str, reason: str) -> None:
        for work in list(self._works.values()):
            if work.claim.run_id == run_id:
                work.report.stop(reason)

    def _about(self, works: Mapping[str, Work]) -> dict[str, Any]:
        health: dict[str, Any] = {}
        for kind in self._kinds.values():
            health.update(kind.health())
        return {
            "id": self.name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": moment.show(self._started_at),
            "running": len(works),
            "stopping": self._draining.is_set(),
            **health,
        }

    # --- the end -------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Take nothing new; after GRACE_SECONDS break off what still runs and give it back. Returns at once."""
        with self._claiming:
            if self._draining.is_set():
                return
            self._draining.set()
        self._grace_ends = time.monotonic() + self._settings.grace_seconds
        threading.Thread(target=self._wind_down, name="drain", daemon=True).start()

    @property
    def _grace_is_over(self) -> bool:
        return time.monotonic() >= self._grace_ends

    def _wind_down(self) -> None:
        if self._works:
            grace = self._settings.grace_seconds
            log.warning("worker %s stops; runs: %d, given %g s", self.name, len(self._works), grace)
        while self._works and not self._grace_is_over:
            time.sleep(0.05)
        for work in list(self._works.values()):
            work.report.stop("shutdown")
        end = time.monotonic() + LAST_BREATH
        while self._works and time.monotonic() < end:
            time.sleep(0.02)
        stuck = bool(self._works)
        self.close()
        if stuck:
            log.error("worker %s leaves %d runs that did not end; they are reaped", self.name, len(self._works))
            self._leave(STUCK)

    def _give_up(self, works: Mapping[str, Work]) -> None:
        late = [work.claim.run_id for work in works.values() if time.monotonic() >= work.deadline]
        log.error("worker %s ends: task runs %s cannot be interrupted", self.name, ", ".join(late))
        self.drain()

    def close(self) -> None:
        """Stop the heartbeat, take this worker off the list, and end the kinds' processes.

        Whoever comes second returns when that is done: the process ends then, and with it the first one's thread.
        """
        with self._closing:
            if not self._closed.is_set():
                self._closed.set()
                self._close()

    def _close(self) -> None:
        self._deliverer.close()
        self._output.close()
        try:
            with self._signing:
                self._store.leave(self.name)
        except StoreUnavailable:
            log.warning("worker %s could not sign off; it is forgotten by itself", self.name)
        for kind in self._kinds.values():
            kind.close()


def _verdict(claim: Claim, outcome: Outcome) -> tuple[Status, str, int | None]:
    """Status, reason, and milliseconds until another attempt, if there is to be one."""
    if isinstance(outcome, Done):
        return Status.SUCCEEDED, "", None
    status = Status.TIMED_OUT if outcome.code == "timed_out" else Status.FAILED
    return status, outcome.code, retry.wait(retry_policy(claim.about.get("retry")), outcome, claim.attempt)


def _told(outcome: Outcome, report: Report) -> dict[str, Any]:
    """The outcome as it is stored: only what there is."""
    told: dict[str, Any] = {
        "result": outcome.value,
        "error": None,
        "stdout": report.stdout,
        "stderr": report.stderr,
        "output_truncated": report.truncated,
        "usage": report.usage,
    }
    if isinstance(outcome, Failed):
        told["error"] = {name: getattr(outcome, name) for name in ("code", "message", "traceback", "line")}
    return {name: value for name, value in told.items() if value not in (None, "", False, {}) or name == "result"}
