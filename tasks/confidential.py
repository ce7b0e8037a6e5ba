"""Secrets in tasks: `{{secret:NAME}}` stands for one until a worker makes the attempt, and is masked afterwards."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from tasks.errors import FieldProblem
from tasks.model import Failed, Outcome

NAME = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
PLACEHOLDER = re.compile(rf"\{{\{{secret:({NAME})\}}\}}")
#: What somebody who writes this means.
_MEANT = re.compile(r"\{\{\s*secrets?\s*[:.]", re.IGNORECASE)
MASK = "••••"


def names(value: Any) -> set[str]:
    """Names of the secrets that a JSON value refers to, in its strings and in the keys of its objects."""
    return {name for text in _texts(value) for name in PLACEHOLDER.findall(text)}


def filled(value: Any, secrets: Mapping[str, str]) -> Any:
    """The JSON value with the secrets in their places."""
    if isinstance(value, str):
        return PLACEHOLDER.sub(lambda found: secrets[found[1]], value)
    if isinstance(value, list):
        return [filled(item, secrets) for item in value]
    if isinstance(value, dict):
        return {filled(key, secrets): filled(item, secrets) for key, item in value.items()}
    return value


def added(value: Any, secrets: Mapping[str, str]) -> int:
    """How many characters of secrets `filled` would put into the JSON value; nothing is made for that."""
    return sum(len(secrets[name]) for text in _texts(value) for name in PLACEHOLDER.findall(text))


def problems(spec: Mapping[str, Any], allowed: Collection[str]) -> Iterator[FieldProblem]:
    """Placeholders that are not written right, or stand in fields in which no secret is filled in."""
    for field, value in spec.items():
        for text in _texts(value):
            rest = PLACEHOLDER.sub("", text)
            if field not in allowed and rest != text:
                where = ", ".join(f"`{name}`" for name in sorted(allowed)) or "no field of this kind"
                message = f"a secret is filled in only in {where}."
                yield FieldProblem(pointer=f"/{field}", code="secret_not_here", message=message)
                break
            if field in allowed and _MEANT.search(rest):
                message = "write {{secret:NAME}}: letters, digits and underscores, no spaces."
                yield FieldProblem(pointer=f"/{field}", code="bad_secret", message=message)
                break


def misplaced(fields: Mapping[str, Any]) -> Iterator[FieldProblem]:
    """Placeholders in texts that are shown, or sent, as they are; `fields` by the pointers to them."""
    for pointer, value in fields.items():
        if any(PLACEHOLDER.search(text) for text in _texts(value)):
            message = "no secret is filled in here: this would be shown, or sent, as it stands."
            yield FieldProblem(pointer=pointer, code="secret_not_here", message=message)


def _shapes(value: str) -> Iterator[str]:
    """A value as it stands, and as what is sent has it: in a form, in a URL, in JSON."""
    yield value
    yield quote_plus(value)
    yield quote(value, safe="")
    for escaped in (True, False):
        yield json.dumps(value, ensure_ascii=escaped)[1:-1]


class Mask:
    """Hides the values of secrets, also in the shapes in which what is sent has them."""

    def __init__(self, values: Collection[str] = ()) -> None:
        shapes = {shape for value in values if value for shape in _shapes(value)}
        longest_first = sorted(shapes, key=len, reverse=True)
        self._found = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def text(self, text: str) -> str:
        """`text` with each secret masked."""
        return self._found.sub(MASK, text) if self._found else text

    def data(self, value: Any) -> Any:
        """A JSON value with each secret masked."""
        if self._found is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.data(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self.data(item) for key, item in value.items()}
        return value

    def outcome(self, outcome: Outcome) -> Outcome:
        """What came of an attempt with each secret masked."""
        if self._found is None:
            return outcome
        masked = dataclasses.replace(outcome, value=self.data(outcome.value))
        if isinstance(masked, Failed):
            trace = None if masked.traceback is None else self.text(masked.traceback)
            return dataclasses.replace(masked, message=self.text(masked.message), traceback=trace)
        return masked


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
