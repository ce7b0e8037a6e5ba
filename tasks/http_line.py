"""The one connection of an HTTP call, which another thread may cut in any phase."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from tasks.model import Failed, Outcome


class Cut(Exception):
    """The call has ended meanwhile; whatever is still under way must not go on."""


class Line:
    """Holds the connection of the moment and how the call ended: whoever ends it first decides. Thread-safe.

    A blocked connect, handshake, send or read cannot be interrupted from outside, but it returns at once when its
    connection is shut down. Closing alone would not wake it, and would let its descriptor be reused under it.
    """

    def __init__(self, timeout: float) -> None:
        self._lock = threading.Lock()
        self._deadline = time.monotonic() + timeout
        self._over = threading.Event()
        self._ending: Outcome | Exception | None = None
        self._hold: socket.socket | None = None
        #: What the call is doing, as words that end a sentence.
        self.phase = "before it began"

    @property
    def left(self) -> float:
        """Seconds until the deadline, at least a moment."""
        return max(0.001, self._deadline - time.monotonic())

    def enter(self, phase: str) -> None:
        """Name what comes next. Raises Cut where the call has ended."""
        with self._lock:
            if self._ending is not None:
                raise Cut
            self.phase = phase

    def hold(self, connection: socket.socket) -> None:
        """Make `connection` the one that an end shuts down. Raises Cut where the call has ended."""
        # A second descriptor of our own: TLS takes the first one over, and closing it elsewhere cannot free ours.
        mine = connection.dup()
        with self._lock:
            if self._ending is None:
                mine, self._hold = self._hold, mine  # type: ignore[assignment]
        if mine is not None:
            mine.close()
        self.enter(self.phase)

    def release(self) -> None:
        """Let go of the connection."""
        with self._lock:
            connection, self._hold = self._hold, None
        if connection is not None:
            connection.close()

    def end(self, ending: Outcome | Exception) -> None:
        """End the call like this, unless it has ended, and shut its connection down."""
        with self._lock:
            if self._ending is not None:
                return
            self._ending = ending
            if self._hold is not None:
                _shut(self._hold)
            self._over.set()

    def outcome(self) -> Outcome:
        """How the call ended, waiting until the deadline at most. Raises what the call raised and did not expect."""
        self._over.wait(self.left)
        late = Failed(code="timed_out", message=f"Time ran out {self.phase}.", permanent=False)
        self.end(late)
        ending = self._ending or late
        if isinstance(ending, Exception):
            raise ending
        return ending


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side may have been faster
        connection.shutdown(socket.SHUT_RDWR)
