"""The worker with an express lane: plain submissions that have come together are answered together."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence

from api.answer import created, send_now
from api.express import Express, Plain
from api.line import Line
from api.patience import PatientWorker
from api.turns import Turns

log = logging.getLogger(__name__)


class ExpressWorker(PatientWorker):
    """Its threads take turns where the application has an express lane; otherwise each hears for itself."""

    _express: Express | None = None

    def run(self) -> None:
        """As above."""
        self._express = getattr(self.wsgi, "express", None)
        if self._express:
            self._turns = Turns()
        super().run()

    def _answer_quick(self, lines: Sequence[Line]) -> Sequence[Line]:
        """Answer together what needs nobody but Redis; of the other requests the first, which this thread answers."""
        asked = self._plain(lines)
        quick = {line: plain for line, plain in asked.items() if plain.is_quick}
        left = [line for line in lines if line not in quick]
        for line in left[1:]:
            self._pass_on(line)
        for line, told in self._told(quick):
            if isinstance(told, bytes):
                line.stays = self._say(line, told)
                self._guarded(self._answered, line)
            else:
                line.fault = told
                self._pass_on(line)
        return left[:1]

    def _answer(self, line: Line) -> bool:
        for _, told in self._told(self._plain([line])):
            if isinstance(told, bytes):
                return self._say(line, told)
            line.fault = told
        return super()._answer(line)

    def _plain(self, lines: Sequence[Line]) -> Mapping[Line, Plain]:
        return {line: plain for line in lines if (plain := self._plainly(line))}

    def _plainly(self, line: Line) -> Plain | None:
        """The request that has arrived, where the express lane takes it; a fault of its own costs nobody else."""
        try:
            return line.plain(self._express) if self._express and self.alive else None
        except Exception:
            log.exception("the express lane could not read a request")
            return None

    def _told(self, asked: Mapping[Line, Plain]) -> Iterable[tuple[Line, bytes | Exception]]:
        return zip(asked, self._express.answer([*asked.values()]), strict=True) if asked and self._express else ()

    def _say(self, line: Line, told: bytes) -> bool:
        """Send an answer of the express lane; whether the line is kept."""
        line.arrival = None
        try:
            line.rest = send_now(line.sock, memoryview(created(told)))
        except OSError:
            return False
        return True

    def _pass_on(self, line: Line) -> None:
        """Let another thread answer the request that has arrived."""
        line.passed_on = True
        line.deadline = time.monotonic() + self.cfg.keepalive
        self._count(line.held)
        self._await_room(line)


def worker_class(slow_client_seconds: int, max_body_bytes: int, leaving: threading.Event) -> type[ExpressWorker]:
    """The worker with these limits; gunicorn makes it by itself, with its own arguments.

    `leaving` is set when the process is told to end.
    """
    limits = {"slow_client_seconds": slow_client_seconds, "max_body_bytes": max_body_bytes, "leaving": leaving}
    return type("LimitedWorker", (ExpressWorker,), limits)
