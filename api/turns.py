"""Turns: of the threads of a process one at a time hears what has come, and answers what takes no time to speak of.

Threads that compete for the interpreter cost each other more than a plain submission costs: one thread that answers all
that have come together does it with fewer switches, and with one round trip to Redis.
"""

from __future__ import annotations

import threading
import time

#: Seconds after which a thread that is still busy with what it heard loses its turn to the next.
LONG = 0.1


class Turn:
    """What the thread holds whose turn it is."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        #: When it heard something that it is still busy with; None while it listens.
        self.busy_since: float | None = None

    def begin(self) -> None:
        """Say that something was heard, which is being answered from now on."""
        self.busy_since = time.monotonic()

    def end(self) -> None:
        """Let the next thread listen."""
        self.busy_since = None
        self.lock.release()


class Turns:
    """One turn at a time, but for those that were lost."""

    #: Requests that are heard in one turn at the most.
    most = 16

    def __init__(self) -> None:
        self._turn = Turn()
        # One thread waits for the turn, and all others wait for this thread.
        self._next = threading.Lock()

    def take(self) -> Turn:
        """Wait until it is the caller's turn."""
        with self._next:
            while not self._turn.lock.acquire(timeout=LONG):
                since = self._turn.busy_since
                if since is not None and time.monotonic() - since >= LONG:
                    self._turn = Turn()  # the old one is nobody's any more once it ends
            return self._turn


class NoTurns(Turns):
    """For where nothing can be answered together: each thread hears one request, whenever it likes."""

    most = 1

    def take(self) -> Turn:
        """It always is the caller's."""
        turn = Turn()
        turn.lock.acquire()
        return turn
