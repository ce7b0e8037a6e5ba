"""Reading what clients send: JSON bodies and query parameters, refused with a reason where they are wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from flask import request

from api.errors import BadRequest
from api.openapi import Parameter
from tasks import identifier, moment
from tasks.errors import FieldProblem

MOST_PER_PAGE = 500
PER_PAGE = 50
#: An entity tag, weak or strong; a list of them; and what stands in one that representation.etag has made.
TAG = re.compile(r'(W/)?"([^"]*)"')
TAGS = re.compile(rf"{TAG.pattern}(\s*,\s*{TAG.pattern})*")
REVISION = re.compile(r"(\d{1,15})(\..*)?")


def read_json() -> Any:
    """The JSON body. Raises BadRequest: 415 for another content type, 400 where it is not JSON."""
    _check_type()
    return parse(request.get_data(cache=False))


def parse(raw: bytes) -> Any:
    """A body as JSON. Raises BadRequest (400) where it is not (RFC 8259)."""
    if not raw:
        raise BadRequest(400, "malformed_json", "The body is empty; send a JSON object.")
    try:
        text = raw.decode("utf-8")
        if text.startswith("\ufeff"):
            raise json.JSONDecodeError("Unexpected UTF-8 BOM", text, 0)
        body = _DECODER.decode(text)
        if "\\u" in text or "\\U" in text:
            json.dumps(body, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise BadRequest(400, "malformed_json", f"The body is not valid JSON: {error.msg} at {where}.") from None
    except UnicodeEncodeError:
        raise BadRequest(400, "malformed_json", "The body holds half of a surrogate pair.") from None
    except UnicodeDecodeError:
        raise BadRequest(400, "malformed_json", "The body is not UTF-8.") from None
    except RecursionError:
        raise BadRequest(400, "malformed_json", "The body is nested too deeply.") from None
    except ValueError as error:
        raise BadRequest(400, "malformed_json", f"The body is not valid JSON: {_reason(error)}.") from None
    return body


def _check_type() -> None:
    """Raises BadRequest (415) for what is not plain JSON in UTF-8: RFC 8259 §8.1, RFC 9110 §8.4."""
    if request.mimetype != "application/json":
        raise BadRequest(415, "unsupported_media_type", "Send JSON, with the header Content-Type: application/json.")
    if request.mimetype_params.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise BadRequest(415, "unsupported_media_type", "Send JSON in UTF-8; no other charset is taken.")
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
        raise BadRequest(415, "unsupported_media_type", "Send the body as it is; no Content-Encoding is taken.")


def _reason(error: ValueError) -> str:
    return "a number has too many digits" if "digits" in str(error) else str(error)


def _not_json(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON value")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {name[:60]!r} stands twice in one object")
        found[name] = value
    return found


def revisions() -> frozenset[int] | None:
    """The revisions that `If-Match` (RFC 9110 §13.1.1) has; None for any, none for what no revision has.

    Only the revision in the entity tag counts: runs change how a task looks, but do not stand in the way of an edit.
    """
    text = request.headers.get("If-Match", "*").strip()
    if text == "*":
        return None
    strong = [opaque for weak, opaque in TAG.findall(text) if not weak] if TAGS.fullmatch(text) else []
    return frozenset(int(found[1]) for opaque in strong if (found := REVISION.fullmatch(opaque)))


#: Made once: json.loads makes one for each call that wants anything but its defaults.
_DECODER = json.JSONDecoder(parse_constant=_not_json, object_pairs_hook=_once)


class Query:
    """The query parameters of one request; collects what is wrong with them."""

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self._values = {name: request.args.getlist(name) for name in request.args}
        self._problems: list[FieldProblem] = []
        self._most = {parameter.name: int(parameter.schema.get("maxLength", 200)) for parameter in parameters}
        known = list(self._most)
        for name, values in self._values.items():
            if name not in known:
                there = f"there are {', '.join(known)}" if known else "this call takes none"
                self._wrong(name, "unknown_parameter", f"There is no such parameter; {there}.")
            elif len(values) > 1:
                self._wrong(name, "repeated", "may be given only once.")

    def _wrong(self, name: str, code: str, message: str) -> None:
        self._problems.append(FieldProblem(pointer=f"?{name[:60]}", code=code, message=message))

    def text(self, name: str) -> str | None:
        """A parameter as it stands; None where it is absent."""
        if name not in self._values:
            return None
        value, most = self._values[name][0], self._most[name]
        if len(value) > most:
            self._wrong(name, "too_large", f"must be at most {most} characters.")
        elif not value:
            self._wrong(name, "too_small", "must not be empty; leave it out instead.")
        return value or None

    def choice(self, name: str, choices: Iterable[str]) -> str | None:
        """One of a few words."""
        value, known = self.text(name), list(choices)
        if value is not None and value not in known:
            self._wrong(name, "invalid", f"must be one of {', '.join(known)}.")
        return value

    def limit(self) -> int:
        """How many entries a page holds."""
        return self.whole("limit", PER_PAGE, 1, MOST_PER_PAGE)

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number within bounds."""
        value = self.text(name)
        if value is None:
            return default
        if value.isascii() and value.isdigit() and len(value) <= 20 and least <= int(value) <= most:
            return int(value)
        self._wrong(name, "invalid", f"must be a whole number from {least} to {most}.")
        return default

    def moment(self, name: str) -> int | None:
        """A moment in RFC 3339, as milliseconds since the epoch."""
        value = self.text(name)
        if value is None:
            return None
        try:
            # A plus sign that was not percent-encoded arrives as a space.
            return moment.parse(value.replace(" ", "+") if "T" in value.upper() else value)
        except ValueError as error:
            self._wrong(name, "invalid", f"{error}.")
            return None

    def cursor(self) -> str | None:
        """Where a page begins, as an earlier page said in `next_cursor`."""
        value = self.text("cursor")
        if value is not None and not identifier.is_id(value):
            self._wrong("cursor", "invalid", "must be a `next_cursor` of an earlier page.")
        return value

    def form(self, name: str, pattern: re.Pattern[str]) -> str | None:
        """A text of a given form."""
        value = self.text(name)
        if value is not None and not pattern.fullmatch(value):
            self._wrong(name, "invalid", "does not have the form of a valid value.")
            return None
        return value

    def check(self) -> None:
        """Raises BadRequest (422) where any parameter was wrong."""
        if self._problems:
            raise BadRequest(422, "invalid_query", "The query cannot be accepted.", tuple(self._problems))
