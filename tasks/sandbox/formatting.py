"""`str.format` and `format_map` for user code: the same results, but attributes are read through the guard."""

from __future__ import annotations

import string
from _string import formatter_field_name_split  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

#: Fields may nest once in Python's own implementation; ours follows.
NATIVE_FORMAT = str.format
NATIVE_FORMAT_MAP = str.format_map
_parse = string.Formatter().parse


def reads_attributes(template: str, depth: int = 2) -> bool:
    """Whether a field of `template`, or of a format specification in it, reads an attribute."""
    for _, field, specification, _ in _parse(template):
        if field is not None and "." in field and _has_attribute(field):
            return True
        if specification and "{" in specification and depth and reads_attributes(specification, depth - 1):
            return True
    return False


def _has_attribute(field: str) -> bool:
    return any(is_attribute for is_attribute, _ in formatter_field_name_split(field)[1])


class _Guarded(string.Formatter):
    """Fills in one template, whose fields it numbers itself: string.Formatter knows `{}` and not `{.name}`."""

    def __init__(self, read: Callable[[Any, str], Any]) -> None:
        self._read = read
        self._next = 0
        self._automatic: bool | None = None

    def parse(self, format_string: str) -> Iterator[tuple[str, str | None, str | None, str | None]]:
        for literal, field, specification, conversion in _parse(format_string):
            yield literal, field if field is None else self._numbered(field), specification, conversion

    def _numbered(self, field: str) -> str:
        first, _ = formatter_field_name_split(field)
        automatic = first == ""
        if automatic or isinstance(first, int):
            if self._automatic is not None and self._automatic != automatic:
                raise ValueError("cannot mix fields with and without a number")
            self._automatic = automatic
        if automatic:
            field = f"{self._next}{field}"
            self._next += 1
        return field

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        first, rest = formatter_field_name_split(field_name)
        value = self.get_value(first, args, kwargs)
        for is_attribute, key in rest:
            value = self._read(value, key) if is_attribute else value[key]
        return value, first


def make_formatting(read: Callable[[Any, str], Any]) -> tuple[Callable[..., str], Callable[..., str]]:
    """Guarded `(format, format_map)`, taking the template first; `read` is the guarded getattr."""

    def format(  # noqa: A001 - shown to the user under this name
        template: str, /, *args: Any, **kwargs: Any
    ) -> str:
        text = str.__str__(template)
        if reads_attributes(text):
            return _Guarded(read).vformat(text, args, kwargs)
        return NATIVE_FORMAT(text, *args, **kwargs)

    def format_map(template: str, mapping: Mapping[str, Any], /) -> str:
        text = str.__str__(template)
        if reads_attributes(text):
            return _Guarded(read).vformat(text, (), mapping)
        return NATIVE_FORMAT_MAP(text, mapping)

    return format, format_map
