"""Threads that make HTTP calls: one for each call under way, and kept for the next one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

#: Seconds for which a thread is kept: long enough while calls come one after the other.
IDLE = 0.5


class CallThreads:
    """Runs calls, each in a thread that may be left behind. Safe to use from several threads."""

    def __init__(self, *, idle: float = IDLE) -> None:
        """Starts none yet. `idle` in seconds is how long a thread waits for another call before it ends."""
        self._patience = idle
        self._lock = threading.Lock()
        #: The one that was busy last is the next, so that those that are not needed end.
        self._idle: list[SimpleQueue[Callable[[], None]]] = []
        self._busy = 0

    @property
    def busy(self) -> int:
        """How many have not returned from what they run."""
        return self._busy

    def run(self, call: Callable[[], None]) -> None:
        """Have `call`, which must not raise, run by one of them; returns at once."""
        with self._lock:
            self._busy += 1
            tray = self._idle.pop() if self._idle else None
        if tray is not None:
            tray.put(call)
            return
        tray = SimpleQueue()
        tray.put(call)
        threading.Thread(target=self._live, args=(tray,), name="http-call", daemon=True).start()

    def _live(self, tray: SimpleQueue[Callable[[], None]]) -> None:
        while True:
            try:
                call = tray.get(timeout=self._patience)
            except Empty:
                if self._leave(tray):
                    return
                continue  # it was chosen just now
            try:
                call()
            finally:
                del call  # and all that it holds, such as the answer
                with self._lock:
                    self._busy -= 1
                    self._idle.append(tray)

    def _leave(self, tray: SimpleQueue[Callable[[], None]]) -> bool:
        with self._lock:
            if tray not in self._idle:
                return False
            self._idle.remove(tray)
            return True
