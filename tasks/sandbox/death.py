"""Why a child ended without its last word, from what the kernel says of it."""

from __future__ import annotations

import os
import signal
from typing import NamedTuple

from tasks.model import Failed
from tasks.sandbox.host import Ended

#: Nobody can tell how it ended: the zygote is gone, and all its children with it.
LOST = Failed(code="sandbox_unavailable", message="The sandbox's process was lost; run it again.", permanent=False)


class Bounds(NamedTuple):
    """What the run was held to, in seconds of the clock and of the processor."""

    timeout: float
    cpu_seconds: int


def explain(ended: Ended | None, bounds: Bounds, *, late: bool) -> Failed:
    """The failure that the end of a child means; `late` if it was killed at its deadline."""
    if late:
        message = f"The run took longer than its {bounds.timeout:g} seconds and was killed."
        return Failed(code="timed_out", message=message)
    if ended is None:
        return LOST
    number = os.WTERMSIG(ended.status) if os.WIFSIGNALED(ended.status) else 0
    if number == signal.SIGSYS:
        message = "The code tried to reach outside the sandbox and was killed."
        return Failed(code="sandbox_violation", message=message)
    if number == signal.SIGXCPU or (number == signal.SIGKILL and ended.cpu >= bounds.cpu_seconds):
        message = f"The run used more than its {_seconds(bounds.cpu_seconds)} of processor time and was killed."
        return Failed(code="cpu_limit", message=message)
    if number == signal.SIGKILL:
        message = "The machine ran out of memory and the run was killed."
        return Failed(code="memory_limit", message=message, permanent=False)
    name = signal.Signals(number).name if number else f"exit code {os.waitstatus_to_exitcode(ended.status)}"
    return Failed(code="interpreter_crashed", message=f"The Python interpreter crashed ({name}).")


def _seconds(count: int) -> str:
    return "1 second" if count == 1 else f"{count} seconds"
