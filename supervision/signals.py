"""The signals that end the service, and the one that says a child has ended, as something to wait for."""

from __future__ import annotations

import os
import select
import signal
import time
from types import FrameType

#: Seconds within which several signals are one request: a terminal and `make` may both pass on the same Ctrl-C.
ONE_REQUEST = 0.3
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Counts requests to end; `wait` returns early when any signal arrives. One in a process, in its main thread."""

    def __init__(self) -> None:
        self.requests = 0
        self._last_request = -ONE_REQUEST
        self._bell, hammer = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(hammer, False)
        signal.set_wakeup_fd(hammer, warn_on_full_buffer=False)
        for number in ENDING:
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup
            signal.signal(number, self._count)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _count(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last_request >= ONE_REQUEST:
            self.requests += 1
        self._last_request = now

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or as soon as a signal arrives."""
        select.select([self._bell], [], [], max(0.0, seconds))
        try:
            os.read(self._bell, 4096)
        except BlockingIOError:
            return
