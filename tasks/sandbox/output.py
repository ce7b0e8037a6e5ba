"""What a run prints: capped, and sent to the host call by call, so that a kill loses nothing that was printed."""

from __future__ import annotations

import io
import os

from tasks.sandbox.seccomp import CHANNEL
from tasks.sandbox.wire import FRAME, MAX_OUTPUT_FRAME, STDERR, STDOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def send(kind: bytes, payload: bytes) -> None:
    """Write one frame to the host."""
    data = FRAME.pack(kind, len(payload)) + payload
    while data:
        data = data[os.write(CHANNEL, data) :]


class Stream(io.TextIOBase):
    """stdout or stderr of a run."""

    def __init__(self, kind: bytes) -> None:
        self._kind = kind
        #: Bytes that may yet be sent.
        self.room = 0

    def write(self, text: str) -> int:
        """Send `text`; past the cap it is dropped."""
        if self.room > 0 and text:
            data = text[: self.room].encode("utf-8", "backslashreplace")[: self.room]
            self.room -= len(data)
            for start in range(0, len(data), MAX_OUTPUT_FRAME):
                send(self._kind, data[start : start + MAX_OUTPUT_FRAME])
        return len(text)


stdout = Stream(STDOUT)
stderr = Stream(STDERR)


def _between(given: Any, otherwise: str) -> str:
    if given is None:
        return otherwise
    if not isinstance(given, str):
        raise TypeError("sep and end must be None or a string")
    return str.__str__(given)


def no_input(prompt: object = "", /) -> str:  # noqa: ARG001 - as Python's own
    """`input` for user code, which nobody is there to answer. Raises EOFError, as Python does at the end of stdin."""
    raise EOFError("a task has no standard input; pass the data as arguments")


def make_print(write: Callable[[str], Any]) -> Callable[..., None]:
    """`print` for user code: one frame for each call."""

    def print(*values: object, sep: Any = " ", end: Any = "\n", file: None = None, flush: Any = False) -> None:  # noqa: A001, ARG001
        if file is not None:
            raise TypeError("print() writes to the task's output here; leave out file=")
        text = str.join(_between(sep, " "), [str(value) for value in values])
        write(text + _between(end, "\n"))

    return print
