"""Who gets the processor first where there is not enough of it: the API and Redis, then workers that are behind.

A worker steps back while runs wait or go on for long: then it will be busy anyway, and whoever calls the API is not to
wait for it. While runs are short and none waits, somebody may be waiting for just this one, so it goes at once.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

#: Linux takes one such write in a tenth of a second from all who are not root.
TRIES, PAUSE = 5, 0.11


class Precedence:
    """How far the sessions of a process step back: its own, and those of what it started."""

    def __init__(self) -> None:
        #: How far they step back at the least and at the most, as for nice(1).
        self._least = self._most = os.getpriority(os.PRIO_PROCESS, 0)
        self._is_back = False
        self._sessions: set[int] = set()
        self._changing = threading.Lock()
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None

    def step_back(self, by: int) -> None:
        """From now on this process may step back for others by that much, 0 to 19, and those that it starts.

        Where the kernel does not share the processor among sessions they do so for good, for lack of a way back.
        """
        if by > self._most:
            os.setpriority(os.PRIO_PROCESS, 0, by)
            self._most = by
            self.include(os.getpid())

    def include(self, session: int) -> None:
        """Let the session that `session` leads stand where this process does.

        Linux shares the processor among sessions first (sched(7), autogroup): the niceness of a process says only how
        it stands to those of its own session, and a new session begins with none.
        """
        if self._most > 0:
            with self._changing:
                self._sessions.add(session)
                _place(session, self._now)

    def forget(self, session: int) -> None:
        """It is gone: its number may be another's soon."""
        with self._changing:
            self._sessions.discard(session)

    def set_back(self, is_back: bool) -> None:
        """Step back, or come forward again. Returns at once: the kernel may want it said slowly."""
        if is_back == self._is_back or self._most == self._least:
            return
        self._is_back = is_back
        self._changed.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name="precedence", daemon=True)
            self._thread.start()

    @property
    def _now(self) -> int:
        return self._most if self._is_back else max(self._least, 0)

    def _follow(self) -> None:
        while self._changed.wait():
            self._changed.clear()
            with self._changing:
                for session in self._sessions:
                    _place(session, self._now)


#: That of this process.
OWN = Precedence()


def _place(session: int, back: int) -> None:
    for _ in range(TRIES):
        try:
            Path(f"/proc/{session}/autogroup").write_text(str(back), "ascii")
            return
        except BlockingIOError:
            time.sleep(PAUSE)
        except OSError:
            return  # there is no such thing here, or it cannot be written: niceness alone has to do


def of_session(session: int) -> int | None:
    """How far a session steps back; None where this kernel does not share among sessions."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{session}/autogroup").read_text("ascii").split("nice")[1])
    return None
