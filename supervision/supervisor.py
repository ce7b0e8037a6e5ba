"""Starts the parts in order, starts again what falls, and ends all of it in order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from supervision.console import Console
from supervision.process import adopt_orphans, end_strays
from supervision.service import Service
from supervision.signals import Signals

log = logging.getLogger("start")

#: Seconds between two looks while something is not ready yet, and while everything is.
LOOK_SOON = 0.1
LOOK_LATER = 5.0
#: Seconds after which a part that is not ready is talked about.
SLOW = 30.0
#: Times a part may fall before it was ever ready, until the whole start counts as failed.
MOST_FALLS = 3
#: Seconds in which a part ends that has nothing left to do; after them its time limit is told.
SOON_ENDED = 2.0
#: Seconds that the first part still gets when somebody is in a hurry, so that it can write down what it holds.
HURRIED_GRACE = 5.0


class Supervisor:
    """Keeps the parts running until a signal comes. The first part may be one that all others need."""

    def __init__(
        self, services: Sequence[Service], *, first_is_needed: bool, signals: Signals, console: Console
    ) -> None:
        self._services = services
        self._foundation = services[0] if first_is_needed else None
        self._signals = signals
        self._console = console
        self._been_ready: set[str] = set()
        self._talked_about: set[str] = set()
        adopt_orphans()

    def run(self, all_ready: Callable[[], None]) -> bool:
        """Run until a signal comes; `all_ready` is called once. False where a part could not be started at all."""
        while not self._signals.requests:
            for service in self._services:
                self._tend(service)
                if service.falls >= MOST_FALLS and service.plan.name not in self._been_ready:
                    self._console.say(f"{service.plan.name} cannot be started; everything is stopped.")
                    log.error("%s cannot be started", service.plan.name)
                    return False
            if len(self._been_ready) < len(self._services):
                self._signals.wait(LOOK_SOON)
                continue
            all_ready()
            all_ready = _nothing
            self._signals.wait(LOOK_LATER if all(service.ready for service in self._services) else LOOK_SOON)
        return True

    def _tend(self, service: Service) -> None:
        fall = service.fallen()
        if fall:
            end_strays(self._pids())
            self._tell_fall(service, fall)
        if service.pid is None and time.monotonic() >= service.restart_at and self._may_start(service):
            fault = service.start()
            if fault:
                self._tell_fall(service, fault)
        elif service.look():
            self._tell_ready(service)
        elif not service.ready and service.pid is not None and service.age > SLOW:
            self._tell_slow(service)

    def _may_start(self, service: Service) -> bool:
        return self._foundation is None or service is self._foundation or self._foundation.ready

    def _pids(self) -> frozenset[int]:
        return frozenset(service.pid for service in self._services if service.pid is not None)

    def _tell_ready(self, service: Service) -> None:
        name = service.plan.name
        line = f"{name:<9} ready   pid {service.pid:<7} {service.age:4.1f} s   {service.plan.remark}".rstrip()
        (self._console.note if name in self._been_ready else self._console.say)(line)
        log.info("%s is ready, pid %s, after %.1f s", name, service.pid, service.age)
        self._been_ready.add(name)
        self._talked_about.discard(name)

    def _tell_fall(self, service: Service, fall: str) -> None:
        self._console.note(f"{service.plan.name} {fall}")
        log.warning("%s %s", service.plan.name, fall)
        if service.plan.name not in self._been_ready:
            self._show_last_lines(service)

    def _tell_slow(self, service: Service) -> None:
        if service.plan.name not in self._talked_about:
            self._talked_about.add(service.plan.name)
            self._console.note(f"{service.plan.name} is not ready after {SLOW:g} s; it said last:")
            log.warning("%s is not ready after %g s", service.plan.name, SLOW)
            self._show_last_lines(service)

    def _show_last_lines(self, service: Service) -> None:
        for line in service.last_lines():
            self._console.pass_on(service.plan.name, line, important=True)

    def stop(self, order: Sequence[str]) -> None:
        """End the parts named in `order`, one after the other and those alike together, then what is left of them.

        A second signal kills what is slow, a third kills the rest at once.
        """
        asked = max(self._signals.requests, 1)
        for name in order:
            alike = [service for service in self._services if _is_one_of(service.plan.name, name)]
            ending = [service for service in alike if not service.has_ended()]
            started = time.monotonic()
            for service in ending:
                service.ask_to_end()
            for service in ending:
                self._await_end(service, asked, started)
        end_strays(frozenset())

    def _await_end(self, service: Service, asked: int, started: float) -> None:
        tell_at: float | None = started + SOON_ENDED
        while not service.has_ended():
            hurry = self._signals.requests - asked
            left = started + self._grace(service, hurry) - time.monotonic()
            if tell_at is not None and time.monotonic() >= tell_at:
                tell_at = None
                self._tell_waiting(service, left, hurry)
            if left <= 0:
                service.kill()
                self._console.say(f"{service.plan.name:<9} killed: it did not end in time")
                log.warning("%s was killed: it did not end in time", service.plan.name)
                return
            self._signals.wait(min(left, LOOK_SOON))
        self._console.say(f"{service.plan.name:<9} stopped")
        log.info("%s stopped", service.plan.name)

    def _tell_waiting(self, service: Service, left: float, hurry: int) -> None:
        if hurry <= 0 and left > 0:
            self._console.say(f"{service.plan.name:<9} ending  it has {left:.0f} s; Ctrl-C again kills it")

    def _grace(self, service: Service, hurry: int) -> float:
        if hurry <= 0:
            return service.plan.grace
        return HURRIED_GRACE if service is self._foundation and hurry == 1 else 0.0


def _is_one_of(name: str, part: str) -> bool:
    """Whether `name` is the part, or one of several such (`worker-2`)."""
    return name == part or name.startswith(f"{part}-")


def _nothing() -> None:
    """What is done when all are ready for the second time."""
