"""Reading the fields of a small JSON body, every fault of it at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api.body import read_json
from api.errors import BadRequest
from tasks import moment
from tasks.errors import FieldProblem


class Fields:
    """The fields of one request's body; collects what is wrong with them."""

    def __init__(self, allowed: Iterable[str]) -> None:
        given = read_json()
        if not isinstance(given, dict):
            raise BadRequest(422, "invalid_body", "The body must be a JSON object.")
        self._given: dict[str, Any] = given
        known = tuple(allowed)
        self._problems = [
            FieldProblem(pointer=_pointer(name), code="unknown_field", message="There is no such field.")
            for name in given
            if name not in known
        ]

    def has(self, name: str) -> bool:
        """Whether the field was sent, as whatever."""
        return name in self._given

    def text(self, name: str, most: int, *, required: bool = True) -> str:
        """A string of 1 to `most` characters; empty where it is wrong or absent."""
        if name not in self._given:
            if required:
                self._missing(name)
            return ""
        value = self._given[name]
        if not isinstance(value, str):
            self._wrong(name, f"must be a string of 1 to {most} characters.", "wrong_type")
        elif not 0 < len(value) <= most:
            self._wrong(name, f"must be 1 to {most} characters.", "too_large" if value else "too_small")
        else:
            return value
        return ""

    def note(self, problems: Iterable[FieldProblem]) -> None:
        """Add what somebody else found wrong, but for fields of which something has been said already."""
        told = {each.pointer for each in self._problems}
        self._problems += [each for each in problems if each.pointer not in told]

    def require(self, name: str, fine: bool, message: str) -> None:
        """Note that a field is wrong where it is not `fine`."""
        if not fine:
            self._wrong(name, message)

    def label(self, name: str, most: int) -> str:
        """A string that can be shown in one line: visible characters and no control characters."""
        value = self.text(name, most)
        if value and (not value.strip() or not value.isprintable()):
            self._wrong(name, "must hold visible characters and no control characters.")
        return value

    def word(self, name: str, choices: Iterable[str], default: str | None = None) -> str | None:
        """One of a few words; `default` where it was not sent, required where that is None."""
        known = [str(choice) for choice in choices]
        if name not in self._given:
            if default is None:
                self._missing(name)
            return default
        value = self._given.get(name)
        if isinstance(value, str) and value in known:
            return value
        self._wrong(name, f"must be one of {', '.join(known)}.")
        return None

    def flag(self, name: str) -> bool | None:
        """True or false; None where it was not sent."""
        value = self._given.get(name)
        if isinstance(value, bool) or name not in self._given:
            return value
        self._wrong(name, "must be true or false.", "wrong_type")
        return None

    def moment(self, name: str) -> int | None:
        """A moment in RFC 3339 that is still to come, as milliseconds since the epoch; None where it was not sent."""
        value = self._given.get(name)
        if value is None:
            return None
        try:
            found = moment.parse(value) if isinstance(value, str) else 0
        except ValueError as error:
            self._wrong(name, f"{error}.")
            return None
        if found <= moment.now():
            self._wrong(name, "must be a moment to come, such as 2030-01-31T12:00:00Z.")
        return found

    def check(self) -> None:
        """Raises BadRequest (422) where any field was wrong."""
        if self._problems:
            raise BadRequest(422, "invalid_body", "The body cannot be accepted.", tuple(self._problems))

    def _missing(self, name: str) -> None:
        self._wrong(name, "is required.", "missing")

    def _wrong(self, name: str, message: str, code: str = "invalid") -> None:
        self._problems.append(FieldProblem(pointer=_pointer(name), code=code, message=message))


def _pointer(name: str) -> str:
    return "/" + name[:60].replace("~", "~0").replace("/", "~1")
