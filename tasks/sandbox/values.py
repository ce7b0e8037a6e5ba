"""The way out: what a user's function returned, as JSON by exact type, within bounds."""

from __future__ import annotations

import datetime as dt
import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_DEPTH = 64
MAX_VALUES = 200_000
#: Characters of the path to a value that is not JSON; past them the outer steps are left out.
MAX_PATH = 200

ADVICE = {
    "bytes": "decode it, or use .hex()",
    "bytearray": "decode it, or use .hex()",
    "timedelta": "return .total_seconds()",
    "complex": "return its .real and .imag",
    "generator": "return a list",
    "range": "return a list",
    "map": "return a list",
    "filter": "return a list",
    "zip": "return a list",
    "deque": "return a list",
    "function": "call it",
}


class Encoder(json.JSONEncoder):
    """With methods of its own: user code may write to the class that it finds in `json`."""

    item_separator, key_separator = ",", ":"
    default = json.JSONEncoder.default
    encode = json.JSONEncoder.encode
    iterencode = json.JSONEncoder.iterencode


#: Kinds that are JSON as they are.
EASY = frozenset({str, int, bool, type(None)})
#: In UTF-8 and not in escapes, of which the longest name takes three times the bytes.
_REPORT = Encoder(ensure_ascii=False)
# What JSONEncoder.encode makes anew each time: neither ASCII alone, nor NaN, nor a search for cycles.
_write_result = json.encoder.c_make_encoder(  # type: ignore[attr-defined]
    None, Encoder().default, json.encoder.encode_basestring, None, ":", ",", False, False, False
)


class NotSerializable(Exception):
    """A value that JSON cannot hold; `path` says where it is, such as `[0].total`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = ""

    def inside(self, step: str) -> NotSerializable:
        """The same, one level further out."""
        if len(self.path) < MAX_PATH:
            self.path = step[:MAX_PATH] + self.path
        return self


class TooLarge(Exception):
    """The result has more bytes than the run may return."""


class Plain:
    """Turns a value into one that `json` writes without calling anything of the user's."""

    def __init__(self) -> None:
        self._left = MAX_VALUES
        self._open: set[int] = set()

    def convert(self, value: Any, depth: int = 0) -> Any:
        """Raises NotSerializable."""
        self._left -= 1
        if self._left < 0:
            raise NotSerializable(f"the result has more than {MAX_VALUES:,} values")
        kind = type(value)
        if kind is str or kind is int or value is None or kind is bool:
            return value
        if kind is float:
            return _finite(value)
        container = _container(kind)
        if container is None:
            return _scalar(value, kind)
        if depth >= MAX_DEPTH:
            raise NotSerializable(f"the result nests deeper than {MAX_DEPTH} levels")
        if id(value) in self._open:
            raise NotSerializable("the result contains itself")
        self._open.add(id(value))
        try:
            return self._items(value, container, depth + 1)
        finally:
            self._open.discard(id(value))

    def _items(self, value: Any, container: Any, depth: int) -> Any:
        if container is dict:
            return self._mapping(value, depth)
        if container in (set, frozenset):
            return self._list(_in_order(container.__iter__(value)), depth)
        return self._list(container.__iter__(value), depth)

    def _list(self, items: Any, depth: int) -> list[Any]:
        made: list[Any] = []
        append, convert = made.append, self.convert
        for index, item in enumerate(items):
            try:
                append(convert(item, depth))
            except NotSerializable as error:
                raise error.inside(f"[{index}]") from None
        return made

    def _mapping(self, value: Any, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, item in dict.items(value):
            if not isinstance(key, str):
                raise NotSerializable(f"a key is {_named(type(key))}; JSON keys are strings, so use str(key)")
            text = str.__str__(key)
            try:
                made[text] = self.convert(item, depth)
            except NotSerializable as error:
                raise error.inside(f".{text}" if text.isidentifier() else f"[{text[:40]!r}]") from None
        return made


def _named(kind: type) -> str:
    name = str(type.__getattribute__(kind, "__name__"))[:80]
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _container(kind: type) -> Any:
    # By base class and the base's own iterator: an overridden `__iter__` decides nothing here.
    for container in (list, dict, tuple, set, frozenset):
        if kind is container:
            return container
    mro = type.__getattribute__(kind, "__mro__")
    return next((container for container in (list, dict, tuple, set, frozenset) if container in mro), None)


def _in_order(items: Any) -> list[Any]:
    found = list(items)
    try:
        return sorted(found)
    except TypeError:
        return found


def _finite(value: float) -> float:
    if value != value or value in (float("inf"), float("-inf")):
        raise NotSerializable("JSON has no NaN and no infinity; return None or a string instead")
    return value


def _scalar(value: Any, kind: type) -> Any:
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return int.__int__(value)
    if issubclass(kind, float):
        return _finite(float.__float__(value))
    for known in (dt.datetime, dt.date, dt.time):
        if issubclass(kind, known):
            return known.isoformat(value)
    if kind.__module__ == "decimal" and kind.__name__ == "Decimal":
        return str(value)
    name = str(type.__getattribute__(kind, "__name__"))
    advice = ADVICE.get(name, "return plain data such as dict, list, str, int, float, bool or None")
    raise NotSerializable(f"{_named(kind)} is not JSON data; {advice}")


def report(told: Any) -> bytes:
    """Plain data of ours as JSON."""
    return _REPORT.encode(told).encode("utf-8", "backslashreplace")


def encode(value: Any, max_bytes: int) -> bytes:
    """The result as JSON in UTF-8. Raises NotSerializable and TooLarge."""
    plain = value if type(value) in EASY else Plain().convert(value)
    try:
        data = "".join(_write_result(plain, 0)).encode("utf-8")
    except UnicodeEncodeError:
        raise NotSerializable("a string holds a lone surrogate, which is not text") from None
    except ValueError:
        raise NotSerializable("a number has too many digits; return it as a string") from None
    if len(data) > max_bytes:
        raise TooLarge(f"The result has {len(data):,} bytes; the limit is {max_bytes:,}.")
    return data
