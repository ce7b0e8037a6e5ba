"""Turns what a child tells of a failure into a Failed with the user's traceback, believing nothing but its shape."""

from __future__ import annotations

import re
from typing import Any

from tasks.model import Failed
from tasks.sandbox import failure
from tasks.sandbox.session import Violation

CODES = frozenset({"code_raised", "code_rejected", "memory_limit", "result_not_serializable", "result_too_large"})
LINKS = {
    "cause": "The above exception was the direct cause of the following exception:",
    "context": "During handling of the above exception, another exception occurred:",
}
MAX_FRAMES = 2 * failure.MAX_FRAMES
MAX_LINE = 200
#: Characters of a message: a child writes each half of a surrogate pair as six.
MAX_MESSAGE = 6 * failure.MAX_MESSAGE
#: Frames that a child may leave out: more than memory holds.
MAX_LEFT_OUT = 10_000_000


def told_failure(told: Any, source: str) -> Failed:
    """The failure that `told` describes. Raises Violation if a child of ours would not say it like this."""
    try:
        # As Python counts lines: str.splitlines would also break at form feeds and the like.
        lines = re.split(r"\r\n|\r|\n", source)
        first = told[0]
        code, message = first["code"], first["message"]
        if code not in CODES or len(told) > failure.MAX_CHAIN:
            raise Violation
        for each in told:
            _check(each, len(lines))
        frames = first["frames"]
        line = frames[-1][0] if frames else None
        trace = _chain(told, lines) if frames else None
    except (TypeError, KeyError, IndexError, ValueError):
        raise Violation from None
    if code == "memory_limit":
        message = "The run needed more memory than it may have: `limits.memory_mb` of the task, or SANDBOX_MEMORY_MB."
    return Failed(code=code, message=message, traceback=trace, line=line)


def _check(told: Any, lines: int) -> None:
    """Raises Violation where a frame is none of this source's, or the whole is more than a child of ours tells."""
    left_out, frames, message = told["left_out"], told["frames"], told["message"]
    if not isinstance(message, str) or len(message) > MAX_MESSAGE:
        raise Violation
    if type(left_out) is not int or not 0 <= left_out <= MAX_LEFT_OUT or len(frames) > MAX_FRAMES:
        raise Violation
    for number, name in frames:
        if type(number) is not int or not 0 <= number <= lines:
            raise Violation
        if not isinstance(name, str) or not name.isprintable() or len(name) > MAX_LINE:
            raise Violation


def _chain(told: list[dict[str, Any]], lines: list[str]) -> str:
    parts: list[str] = []
    for later, each in reversed(list(zip([None, *told], told, strict=False))):
        parts.append(_one(each, lines))
        if later is not None:
            parts.append(f"\n{LINKS[later['link']]}\n")
    return "\n".join(parts)


def _one(told: dict[str, Any], lines: list[str]) -> str:
    frames = told["frames"]
    parts = ["Traceback (most recent call last):"] if frames else []
    for index, (number, name) in enumerate(frames):
        if told["left_out"] and index == len(frames) // 2:
            parts.append(f"  … {told['left_out']} more frames …")
        parts.append(f'  File "<task>", line {number}, in {name}')
        if 0 < number <= len(lines) and lines[number - 1].strip():
            parts.append(f"    {lines[number - 1].strip()[:MAX_LINE]}")
    return "\n".join([*parts, told["message"]])
