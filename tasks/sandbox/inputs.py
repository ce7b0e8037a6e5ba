"""The way in: rules for source, function name and arguments that need no sandbox to check."""

from __future__ import annotations

import json
import keyword
from collections.abc import Iterator
from typing import Any

from tasks.errors import FieldProblem
from tasks.sandbox.names import is_reserved

MAX_SOURCE_BYTES = 64 * 1024
MAX_ARGUMENT_BYTES = 256 * 1024
MAX_ARGUMENT_DEPTH = 32
MAX_NAME = 100

CODE = "/function_code"
NAME = "/function_name"


def problem(pointer: str, code: str, message: str, line: int | None = None, column: int | None = None) -> FieldProblem:
    """A FieldProblem, briefly."""
    return FieldProblem(pointer=pointer, code=code, message=message, line=line, column=column)


def check_source(source: str) -> list[FieldProblem]:
    """Size and text of the source."""
    try:
        size = len(source.encode("utf-8"))
    except UnicodeEncodeError as error:
        line = source.count("\n", 0, error.start) + 1
        return [problem(CODE, "syntax_error", "The code holds a lone surrogate, which is not text.", line, 1)]
    if size > MAX_SOURCE_BYTES:
        return [problem(CODE, "code_too_large", f"The code has {size:,} bytes; the limit is {MAX_SOURCE_BYTES:,}.")]
    if "\0" in source:
        line = source.count("\n", 0, source.index("\0")) + 1
        return [problem(CODE, "syntax_error", "The code holds a NUL character; remove it.", line, 1)]
    return []


def check_name(name: str) -> list[FieldProblem]:
    """Whether `name` can be the name of a user's function."""
    if len(name) > MAX_NAME or not name.isidentifier() or keyword.iskeyword(name) or is_reserved(name):
        return [problem(NAME, "name_not_allowed", "Give the plain name of a function that the code defines.")]
    return []


def check_arguments(args: Any, kwargs: Any) -> list[FieldProblem]:
    """Whether `args` and `kwargs` may be handed to a user's function; they are JSON data already."""
    found: list[FieldProblem] = []
    if not isinstance(args, list):
        found.append(problem("/args", "wrong_type", "Give args as a list."))
    if not isinstance(kwargs, dict):
        found.append(problem("/kwargs", "wrong_type", "Give kwargs as an object."))
    if found:
        return found
    found += [
        problem("/kwargs", "name_not_allowed", f"{str(key)[:80]!r} cannot be the name of an argument.")
        for key in kwargs
        if not isinstance(key, str) or not key.isidentifier() or keyword.iskeyword(key) or is_reserved(key)
    ]
    for pointer, value in (("/args", args), ("/kwargs", kwargs)):
        found.extend(_check_data(pointer, value))
    return found


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def _check_data(pointer: str, value: Any) -> Iterator[FieldProblem]:
    if not value:
        return
    if _deeper_than(value, MAX_ARGUMENT_DEPTH):
        yield problem(pointer, "too_deep", f"Nest the data at most {MAX_ARGUMENT_DEPTH} levels deep.")
        return
    try:
        size = len(_encoder.encode(value).encode("utf-8"))
    except UnicodeEncodeError:
        yield problem(pointer, "not_text", "A string holds a lone surrogate, which is not text.")
    except (TypeError, ValueError):
        yield problem(pointer, "not_json", "Give plain JSON data: no NaN, no infinity, no endless number.")
    else:
        if size > MAX_ARGUMENT_BYTES:
            yield problem(pointer, "too_large", f"The data has {size:,} bytes; the limit is {MAX_ARGUMENT_BYTES:,}.")


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below.extend(each.values())
            elif isinstance(each, list | tuple):
                below.extend(each)
        if not below:
            return False
        level = below
    return any(isinstance(each, dict | list | tuple) for each in level)
