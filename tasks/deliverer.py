"""Deliverer: tells receivers that runs have ended, in threads of its own, so that no run waits for one."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from config.settings import Settings
from tasks import notice
from tasks.errors import StoreUnavailable
from tasks.http_call import HttpCaller, HttpRequest
from tasks.model import Done, Failed, Limits, Outcome
from tasks.report import Report
from tasks.signature import Signer
from tasks.store.deliveries import Deliveries, Delivery

log = logging.getLogger(__name__)

#: Bytes of an answer that are read; they are kept nowhere.
MOST_ANSWER: Final = 65_536
#: Seconds beyond CALLBACK_TIMEOUT for which a claimed delivery is this process' own.
SPARE: Final = 20.0
#: Share of a pause that is added at random at the most, so that many tries do not come at once.
JITTER: Final = 0.2
#: Seconds to which a receiver may put off the next try with Retry-After.
LONGEST: Final = 86_400.0
#: Failures that no further try can mend.
HOPELESS: Final = frozenset({"address_not_allowed", "bad_host", "bad_scheme", "bad_url", "url_too_long"})
#: What a receiver answers that wants no more of this (RFC 9110 §15.5.11, and Standard Webhooks).
GONE: Final = 410


class Deliverer:
    """Delivers what is due once it is nudged, until nothing is. One for each worker process.

    A receiver gets a quarter of what the process does at once, an owner half, so that one that hangs holds up
    no others.
    """

    def __init__(
        self, deliveries: Deliveries, settings: Settings, *, chance: Callable[[], float] = random.random
    ) -> None:
        self._deliveries = deliveries
        self._pauses = settings.callback_pauses
        self._timeout = settings.callback_timeout
        self._most = settings.callback_concurrency
        self._chance = chance
        self._signer = Signer(settings)
        self._caller = HttpCaller(allowed_networks=settings.http_allowed_networks, max_response_bytes=MOST_ANSWER)
        self._lock = threading.Lock()
        #: What is on its way, by the id of the run, and the line to it.
        self._under_way: dict[str, tuple[Delivery, Report]] = {}
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._dispatcher: threading.Thread | None = None
        self._pool: ThreadPoolExecutor | None = None

    def nudge(self) -> None:
        """Look whether something is due. Returns at once."""
        self._wake.set()
        with self._lock:
            if self._dispatcher is None and not self._closed.is_set():
                self._pool = ThreadPoolExecutor(self._most, thread_name_prefix="callback")
                self._dispatcher = threading.Thread(target=self._dispatch, name="callbacks", daemon=True)
                self._dispatcher.start()

    def close(self) -> None:
        """Take nothing more, break off what is on its way and give it back."""
        self._closed.set()
        self._wake.set()
        if self._dispatcher is not None:
            self._dispatcher.join()
        with self._lock:
            reports = [report for _, report in self._under_way.values()]
        for report in reports:
            report.stop("shutdown")
        if self._pool is not None:
            self._pool.shutdown()

    # --- which ---------------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        while not self._closed.is_set():
            self._wake.wait()
            self._wake.clear()
            try:
                while not self._closed.is_set() and (delivery := self._claim()) is not None:
                    self._send_off(delivery)
            except StoreUnavailable as error:
                log.warning("callbacks wait for Redis: %s", error)
            except Exception:
                log.exception("a callback cannot be claimed")

    def _claim(self) -> Delivery | None:
        with self._lock:
            under_way = [delivery for delivery, _ in self._under_way.values()]
        if len(under_way) >= self._most:
            return None
        receivers = Counter(delivery.receiver for delivery in under_way)
        owners = Counter(delivery.owner for delivery in under_way)
        return self._deliveries.claim(
            lease=round((self._timeout + SPARE) * 1000),
            most=len(self._pauses) + 1,
            busy=[name for name, many in receivers.items() if many >= max(1, self._most // 4)],
            busy_owners=[name for name, many in owners.items() if many >= max(1, self._most // 2)],
        )

    def _send_off(self, delivery: Delivery) -> None:
        report = Report(0)
        with self._lock:
            self._under_way[delivery.run.id] = (delivery, report)
        assert self._pool is not None  # noqa: S101 - made before this thread
        self._pool.submit(self._deliver, delivery, report)

    # --- one -----------------------------------------------------------------------------------------------------

    def _deliver(self, delivery: Delivery, report: Report) -> None:
        lease_ends = time.monotonic() + self._timeout + SPARE
        begun = time.monotonic()
        try:
            outcome = self._tell(delivery, report)
        except Exception:
            log.exception("task run %s: its callback broke us", delivery.run.id)
            outcome = Failed(code="internal_error", message="The service failed at this; see its log.")
        try:
            self._record(delivery, report, outcome, round(time.monotonic() - begun, 3), lease_ends)
        except Exception:
            log.exception("task run %s: what came of its callback is not recorded", delivery.run.id)
        finally:
            with self._lock:
                self._under_way.pop(delivery.run.id, None)
            self._wake.set()

    def _tell(self, delivery: Delivery, report: Report) -> Outcome:
        body = notice.body(delivery)
        signed = self._signer.headers(
            delivery.owner,
            delivery.generation,
            name=notice.name_of(delivery.run.id),
            now=delivery.now,
            body=body,
        )
        request = HttpRequest(
            api_url=delivery.callback.url,
            method="POST",
            headers={"Content-Type": "application/json", **signed},
            body=body,
            follow_redirects=False,
        )
        return self._caller.call(
            request, limits=Limits(timeout=self._timeout, max_result_bytes=MOST_ANSWER), report=report
        )

    def _record(self, delivery: Delivery, report: Report, outcome: Outcome, duration: float, lease_ends: float) -> None:
        """Write it down, for as long as Redis takes to come back and the delivery is still ours."""
        pause = 0.2
        while True:
            try:
                return self._settle(delivery, report, outcome, duration)
            except StoreUnavailable as error:
                if self._closed.is_set() or time.monotonic() + pause > lease_ends:
                    log.warning(
                        "task run %s: its callback is tried again, for want of Redis: %s", delivery.run.id, error
                    )
                    return None
                time.sleep(pause)
                pause = min(pause * 2, 5.0)

    def _settle(self, delivery: Delivery, report: Report, outcome: Outcome, duration: float) -> None:
        run_id, told = delivery.run.id, _told(outcome, duration)
        if report.stop_reason is not None and isinstance(outcome, Failed) and outcome.code == "stopped":
            self._deliveries.release(delivery)
        elif isinstance(outcome, Done):
            self._deliveries.delivered(delivery, told)
            log.info("task run %s: callback delivered, try %d", run_id, delivery.number)
        elif (reason := self._end(delivery, outcome, told)) is not None:
            self._deliveries.failed(delivery, reason, told)
            log.warning("task run %s: callback given up after try %d: %s", run_id, delivery.number, reason)
        else:
            pause = self._pause(delivery, outcome)
            self._deliveries.again(delivery, round(pause * 1000), told)
            log.warning(
                "task run %s: callback not delivered, try %d: %s, again in %.3g s",
                *(run_id, delivery.number, told["error"], pause),
            )

    def _end(self, delivery: Delivery, failed: Failed, told: dict[str, Any]) -> str | None:
        """Why there is no further try; None where there is one."""
        if told["status_code"] == GONE:
            return "gone"
        if failed.code in HOPELESS:
            return failed.code
        return "tries_used_up" if delivery.round > len(self._pauses) else None

    def _pause(self, delivery: Delivery, failed: Failed) -> float:
        """Seconds until the next try."""
        pause = self._pauses[delivery.round - 1] * (1 + JITTER * self._chance())
        return max(pause, min(failed.retry_after or 0, LONGEST))


def _told(outcome: Outcome, duration: float) -> dict[str, Any]:
    """A try for the log: nothing of what the receiver said but its status."""
    answered = outcome.value if isinstance(outcome.value, dict) else {}
    return {
        "duration": duration,
        "status_code": answered.get("status_code"),
        "error": outcome.code if isinstance(outcome, Failed) else None,
    }
