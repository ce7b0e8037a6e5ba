"""Who gets the processor first where there is not enough of it: the API and Redis, then the workers."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

#: Linux takes one such write in a tenth of a second from all who are not root.
TRIES, PAUSE = 5, 0.11


def step_back(by: int) -> None:
    """Let this process and those that it starts step back for others; `by` as for nice(1), 0 to 19."""
    if by > os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, by)
        hold_back(os.getpid())


def hold_back(session: int) -> None:
    """Let the session that `session` leads step back as far as this process does.

    Linux shares the processor among sessions first (sched(7), autogroup): the niceness of a process says only how it
    stands to those of its own session, and a new session begins with none.
    """
    by = os.getpriority(os.PRIO_PROCESS, 0)
    if by <= 0:
        return
    for _ in range(TRIES):
        try:
            Path(f"/proc/{session}/autogroup").write_text(str(by), "ascii")
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
