"""Following a task: what changes about it and what its runs print, as it happens and from any place on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tasks import errors
from tasks.model import ENDED, FINISHED, Run, Status
from tasks.report import Stream
from tasks.store import Look, Store

#: Seconds without an event after which a sign of life is given, and after which one looks whether news was missed.
HEARTBEAT = 15.0
#: Seconds after which a reader looks whether the service is being shut down, or tries Redis again.
PATIENCE = 1.0
STREAMS: tuple[Stream, ...] = ("stdout", "stderr")
_ORDER = {status: number for number, status in enumerate(Status, start=1)}
_PLACE = re.compile(r"(\d{1,2})\.(\d{1,11})\.(\d{1,6})\.(\d{1,2})\.(\d{1,10})\.(\d{1,10})(\.end)?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Place:
    """How far a reader has come; as text it is the id of the last event."""

    #: Which status of the task was told, then which run is followed, and what of it was told.
    task: int = 0
    number: int = 0
    attempt: int = 0
    status: int = 0
    #: Bytes of the attempt's output.
    stdout: int = 0
    stderr: int = 0
    #: Whether nothing more can follow.
    ended: bool = False

    def __str__(self) -> str:
        """`13.1.1.5.120.0`, with `.end` behind it where nothing more can follow."""
        numbers = (self.task, self.number, self.attempt, self.status, self.stdout, self.stderr)
        return ".".join(map(str, numbers)) + (".end" if self.ended else "")


def place(text: str) -> Place | None:
    """The place that `text` names; None where it names none."""
    found = _PLACE.fullmatch(text)
    if found is None:
        return None
    task, number, attempt, status, stdout, stderr = (int(digits) for digits in found.groups()[:6])
    return Place(
        task=task, number=number, attempt=attempt, status=status, stdout=stdout, stderr=stderr, ended=bool(found[7])
    )


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a task; `name` is `status`, `output` or `end`."""

    name: str
    data: Mapping[str, Any]
    place: Place


class Follower:
    """The events of one task behind a place, one run after the other."""

    def __init__(self, store: Store, task_id: str, start: Place, *, leaving: Callable[[], bool]) -> None:
        """`leaving` says whether the service is being shut down, which ends the events.

        Raises TaskNotFound, and StoreUnavailable.
        """
        self._live, self._task_id, self._place, self._leaving = store.live, task_id, start, leaving
        if self._look() is None:
            raise errors.TaskNotFound(f"There is no task {task_id}.")

    def events(self) -> Iterator[Event | None]:
        """Every event, and None where there was none for a while. Ends with the task, or when it is deleted."""
        while not self._leaving():
            try:
                yield from self._listened()
                return
            except errors.StoreUnavailable:
                yield None
                time.sleep(PATIENCE)

    def _listened(self) -> Iterator[Event | None]:
        with self._live.watch(self._task_id) as watch:
            while not self._leaving():
                yield from self._news()
                if self._place.ended:
                    return
                quiet_until = time.monotonic() + HEARTBEAT
                while not watch.wait(PATIENCE):
                    if self._leaving():
                        return
                    if time.monotonic() > quiet_until:
                        yield None
                        break

    def _look(self) -> Look | None:
        at = self._place
        return self._live.look(self._task_id, number=at.number, attempt=at.attempt, stdout=at.stdout, stderr=at.stderr)

    def _news(self) -> Iterator[Event]:
        """All that is new by now."""
        while True:
            look = self._look()
            if look is None:
                yield self._event("end", {"task_status": "deleted"}, ended=True)
                return
            run = look.run
            if run is not None:
                self._turn_to(run)
                yield from self._progress(look, run)
            else:
                # From its first run on, of which there is none yet.
                self._place = replace(self._place, number=max(1, self._place.number))
                yield from self._status(look, None)
            if run is not None and run.status in FINISHED and run.number < look.runs:
                self._place = replace(Place(task=self._place.task), number=run.number + 1)
                continue
            if look.status in ENDED and (run is None or run.status in FINISHED):
                yield self._event("end", {"task_status": look.status}, ended=True)
            return

    def _turn_to(self, run: Run) -> None:
        at = self._place
        if (at.number, at.attempt) != (run.number, run.attempt):
            self._place = Place(task=at.task, number=run.number, attempt=run.attempt)

    def _progress(self, look: Look, run: Run) -> Iterator[Event]:
        if run.status not in FINISHED:
            yield from self._status(look, run)
        for stream in STREAMS:
            text: str = getattr(run, stream)
            seen: int = getattr(self._place, stream)
            if look.has_outcome:
                text = text.encode()[seen:].decode("utf-8", "ignore")
            if text:
                said = {"run_id": run.id, "attempt": run.attempt, "stream": stream, "text": text}
                yield self._event("output", said, **{stream: seen + len(text.encode())})
        if run.status in FINISHED:
            yield from self._status(look, run)

    def _status(self, look: Look, run: Run | None) -> Iterator[Event]:
        told = {"task": _ORDER[look.status], "status": _ORDER[run.status] if run else 0}
        if (self._place.task, self._place.status) == (told["task"], told["status"]):
            return
        said: dict[str, Any] = {"task_status": look.status}
        if run is not None:
            said.update(run_id=run.id, number=run.number, attempt=run.attempt, status=run.status, reason=run.reason)
        yield self._event("status", said, **told)

    def _event(self, name: str, data: Mapping[str, Any], **moved: Any) -> Event:
        self._place = replace(self._place, **moved)
        return Event(name=name, data=data, place=self._place)


def await_end(store: Store, task_id: str, seconds: float, *, leaving: Callable[[], bool]) -> None:
    """Wait until the task has ended, for `seconds` at the most. Raises StoreUnavailable."""
    end = time.monotonic() + seconds
    with store.live.watch(task_id) as watch:
        while (left := end - time.monotonic()) > 0 and not leaving():
            look = store.live.look(task_id, number=0, attempt=0, stdout=0, stderr=0)
            if look is None or look.status in ENDED:
                return
            watch.wait(min(left, PATIENCE))
