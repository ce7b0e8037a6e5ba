"""What went wrong in a run, told with the user's frames only."""

from __future__ import annotations

import types

from tasks.sandbox.names import FILENAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MAX_MESSAGE = 2000
MAX_NAME = 200
#: Frames kept at either end of a deep traceback.
MAX_FRAMES = 20
#: Exceptions told of a chain of causes.
MAX_CHAIN = 3


def _frames(trace: types.TracebackType | None) -> Iterator[tuple[int, str]]:
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename == FILENAME:
            yield trace.tb_lineno, code.co_name[:MAX_NAME]
        trace = trace.tb_next


def _message(error: BaseException) -> str:
    name = str(type.__getattribute__(type(error), "__qualname__"))[:MAX_NAME]
    try:
        text = str.__str__(str(error))
    except BaseException:  # noqa: BLE001 - a user's __str__ may raise anything
        text = "<its message could not be made>"
    told = (f"{name}: {text}" if text else name)[:MAX_MESSAGE]
    return told.encode("utf-8", "backslashreplace").decode("utf-8")  # half of a surrogate pair is no text


def _told(error: BaseException, code: str) -> dict[str, Any]:
    frames = list(_frames(error.__traceback__))
    left_out = max(len(frames) - 2 * MAX_FRAMES, 0)
    if left_out:
        frames = frames[:MAX_FRAMES] + frames[-MAX_FRAMES:]
    return {"code": code, "message": _message(error), "frames": frames, "left_out": left_out}


def _earlier(error: BaseException) -> tuple[BaseException | None, str]:
    if isinstance(error.__cause__, BaseException):  # `raise x from C` keeps what C() gave, whatever it is
        return error.__cause__, "cause"
    if error.__suppress_context__:
        return None, ""
    return error.__context__, "context"


def describe(error: BaseException) -> list[dict[str, Any]]:
    """The exception as plain data, the last one first, then those it came from."""
    code = "memory_limit" if isinstance(error, MemoryError) else "code_raised"
    told = [_told(error, code)]
    earlier, how = _earlier(error)
    while earlier is not None and len(told) < MAX_CHAIN:
        told[-1]["link"] = how
        told.append(_told(earlier, ""))
        earlier, how = _earlier(earlier)
    return told
