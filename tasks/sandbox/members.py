"""Replacements for public functions of allowed modules that would read attributes by name or build code from text."""

from __future__ import annotations

import builtins
import collections
import functools
import keyword
import types

from tasks.sandbox.guards import lock, read, safe_format, safe_format_map
from tasks.sandbox.inert_typing import NAMED_TUPLE
from tasks.sandbox.names import Access, access, is_reserved, may_write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

#: Py_TPFLAGS_HEAPTYPE: made at run time.
HEAP_TYPE = 1 << 9
#: What `functools.wraps` copies; the values are strings.
COPIED = ("__module__", "__name__", "__qualname__", "__doc__")


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a string")
    return str.__str__(value)


def _identifier(value: Any, what: str) -> str:
    name = _text(value, what)
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{what} must be an identifier, not {name[:80]!r}")
    return name


def namedtuple(
    typename: str,
    field_names: str | Iterable[str],
    *,
    rename: bool = False,
    defaults: Iterable[Any] | None = None,
) -> type:
    """`collections.namedtuple`, whose code is built from text: only true identifiers reach it."""
    names = field_names
    if isinstance(names, str):
        names = str.__str__(names).replace(",", " ").split()
    fields = [_text(name, "a field name") for name in names]
    if not rename:
        fields = [_identifier(name, "a field name") for name in fields]
    return _safe_to_match(
        collections.namedtuple(
            _identifier(typename, "the type name"), fields, rename=bool(rename), defaults=defaults, module="task"
        )
    )


def _safe_to_match(cls: type) -> type:
    """`cls`, without patterns by position where these would read attributes that only the guard may read."""
    if any(access(name) is not Access.NATIVE for name in getattr(cls, "__match_args__", ())):
        cls.__match_args__ = ()  # type: ignore[attr-defined, misc]
    return cls


def build_class(body: Callable[[], Any], name: str, /, *bases: Any, **keywords: Any) -> Any:
    """What a class statement does; `class P(NamedTuple)` becomes a named tuple."""
    if not any(base is NAMED_TUPLE for base in bases):
        return checked_class(builtins.__build_class__(body, name, *bases, **keywords))
    written = vars(builtins.__build_class__(body, name))
    fields = list(written.get("__annotations__", ()))
    base = namedtuple(name, fields, defaults=[written[field] for field in fields if field in written])
    own = {key: value for key, value in written.items() if key not in (*fields, "__dict__", "__weakref__")}
    return type(name, (base,), own | {"__slots__": ()})


def checked_class(made: Any) -> Any:
    """A class whose names of attributes are such as the guard would let through, for C code and `copy` read them too.

    Raises TypeError where they are not.
    """
    if isinstance(made, type):
        own = type.__getattribute__(made, "__dict__")
        slots = [name for name, value in own.items() if isinstance(value, types.MemberDescriptorType)]
        for name in slots:
            if not may_write(name):
                raise TypeError(f"__slots__ cannot name {name!r} here")
        if "__slots__" in own:
            type.__setattr__(made, "__slots__", _for_good(own["__slots__"], slots))
        check_fields(made, getattr(made, "__dataclass_fields__", ()))
    return made


def _for_good(slots: Any, made: list[str]) -> Any:
    """`__slots__` as it was read: `copy` looks at it again, when a list may have got other names."""
    if type(slots) is str:
        return slots
    if isinstance(slots, (tuple, list, dict)):
        return tuple(str.__str__(name) for name in slots)
    return tuple(made)


#: Classes some of whose attributes only the guard may read: `format` and `obj`.
GUARDED_BASES = (str, AttributeError)


def check_fields(cls: type, names: Iterable[str]) -> None:
    """Raises TypeError where `dataclasses` would read one of these fields of `cls` past the guard."""
    if issubclass(cls, GUARDED_BASES):
        for name in names:
            if access(name) is not Access.NATIVE:
                raise TypeError(f"a field cannot be named {name!r} in this class")


class CachedProperty:
    """`functools.cached_property`; the name under which the value is kept is nobody's to choose."""

    __slots__ = ("_get", "_name")
    _get: Callable[[Any], Any]
    _name: str | None

    def __init__(self, func: Callable[[Any], Any]) -> None:
        object.__setattr__(self, "_get", func)
        object.__setattr__(self, "_name", None)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a cached property cannot be changed")

    def __set_name__(self, owner: Any, name: Any) -> None:
        if self._name is None:
            name = _identifier(name, "the attribute's name")
            if not may_write(name):
                raise TypeError(f"{name!r} cannot be written here")
            object.__setattr__(self, "_name", name)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        if self._name is None or isinstance(instance, type):
            raise TypeError("a cached property belongs to a class, and its value to an object of it")
        try:
            kept = object.__getattribute__(instance, "__dict__")
        except AttributeError:
            raise TypeError("a cached property needs objects without __slots__") from None
        if self._name not in kept:
            kept[self._name] = self._get(instance)
        return kept[self._name]


def update_wrapper(
    wrapper: Any, wrapped: Any, assigned: Iterable[str] = COPIED, updated: Iterable[str] = ("__dict__",)
) -> Any:
    """`functools.update_wrapper` for the attributes that describe a function, and no others."""
    for name in assigned:
        if name not in (*COPIED, "__annotations__"):
            raise ValueError(f"{name!r} cannot be copied here")
        if name in COPIED and isinstance(value := getattr(wrapped, name, None), str):
            setattr(wrapper, name, value)
    for name in updated:
        if name != "__dict__":
            raise ValueError(f"{name!r} cannot be updated here")
    return wrapper


def wraps(
    wrapped: Any, assigned: Iterable[str] = COPIED, updated: Iterable[str] = ("__dict__",)
) -> Callable[[Any], Any]:
    """`functools.wraps`, by way of `update_wrapper` above."""

    def decorate(wrapper: Any) -> Any:
        return update_wrapper(wrapper, wrapped, assigned, updated)

    return decorate


def singledispatch(function: Callable[..., Any]) -> Any:
    """`functools.singledispatch`, with the class given to `register` and not read from an annotation."""
    registry: dict[type, Callable[..., Any]] = {}

    def dispatch(kind: type) -> Callable[..., Any]:
        return next((registry[base] for base in type.mro(kind) if base in registry), function)

    def register(kind: type, implementation: Callable[..., Any] | None = None) -> Any:
        if not isinstance(kind, type):
            raise TypeError("write @register(int): the class is not read from the annotation here")
        if implementation is None:
            return lambda given: register(kind, given)
        registry[kind] = implementation
        return implementation

    def wrapper(*arguments: Any, **keywords: Any) -> Any:
        if not arguments:
            raise TypeError(f"{function.__name__} requires at least 1 positional argument")
        return dispatch(type(arguments[0]))(*arguments, **keywords)

    wrapper.register = register  # type: ignore[attr-defined]
    wrapper.dispatch = dispatch  # type: ignore[attr-defined]
    return update_wrapper(wrapper, function)


def attrgetter(attribute: str, *more: str) -> Callable[[Any], Any]:
    """`operator.attrgetter` through the guard."""
    paths = [_text(name, "an attribute name").split(".") for name in (attribute, *more)]

    def follow(value: Any, path: list[str]) -> Any:
        return functools.reduce(read, path, value)

    def get(value: Any) -> Any:
        found = tuple(follow(value, path) for path in paths)
        return found if more else found[0]

    return get


def methodcaller(name: str, /, *arguments: Any, **keywords: Any) -> Callable[[Any], Any]:
    """`operator.methodcaller` through the guard."""
    method = _text(name, "the method name")
    return lambda value: read(value, method)(*arguments, **keywords)


def _userstring_format(self: Any, /, *arguments: Any, **keywords: Any) -> str:
    return safe_format(_text(self.data, "the text"), *arguments, **keywords)


def _userstring_format_map(self: Any, mapping: Any) -> str:
    return safe_format_map(_text(self.data, "the text"), mapping)


def _collections() -> dict[str, Any]:
    # In the class itself: `super()` would find the original behind a subclass of ours.
    collections.UserString.format = _userstring_format  # type: ignore[assignment, method-assign]
    collections.UserString.format_map = _userstring_format_map  # type: ignore[method-assign]
    return {"namedtuple": namedtuple}


def _functools() -> dict[str, Any]:
    # functools itself calls these two for lru_cache, cached_property, total_ordering: its own names stay as they are.
    lock(CachedProperty)
    return {
        "update_wrapper": update_wrapper,
        "wraps": wraps,
        "singledispatch": singledispatch,
        "cached_property": CachedProperty,
    }


def _operator() -> dict[str, Any]:
    return {"attrgetter": attrgetter, "methodcaller": methodcaller}


def _dataclasses() -> dict[str, Any]:
    import dataclasses
    import sys
    import typing

    # dataclasses looks annotations up in the module of the class, by name.
    module = type(sys)("task")
    vars(module).update(ClassVar=typing.ClassVar, InitVar=dataclasses.InitVar, KW_ONLY=dataclasses.KW_ONLY)
    sys.modules["task"] = module

    def set_field(field: Any, name: str, value: Any) -> None:
        # The name becomes part of source text that is compiled, and of getattr() in asdict() and replace().
        if name == "name" and value is not None and (type(value) is not str or not _is_field(value)):
            raise AttributeError("a field is named by the class statement")
        object.__setattr__(field, name, value)

    dataclasses.Field.__setattr__ = set_field  # type: ignore[method-assign]
    lock(dataclasses.Field)

    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        decorate = dataclasses.dataclass(**options)

        def decorated(given: type) -> type:
            _check_before_dataclass(given)
            return _safe_to_match(decorate(given))

        return decorated if cls is None else decorated(cls)

    return {"dataclass": dataclass}


def _check_before_dataclass(cls: Any) -> None:
    """Raises TypeError where making a data class of `cls` would read or evaluate what its author may not."""
    if not isinstance(cls, type):
        raise TypeError("a data class is made of a class")
    check_fields(cls, vars(cls).get("__annotations__", ()))
    for base in cls.__mro__[:-1]:
        # inspect.signature evaluates the names that such a docstring gives as defaults, in all modules there are.
        if base.__flags__ & HEAP_TYPE and type.__dict__["__text_signature__"].__get__(base):
            raise TypeError(f"the docstring of {base.__name__} looks like a C function's signature; write it otherwise")


def _is_field(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and may_write(name)


def _enum() -> dict[str, Any]:
    import enum

    create = enum.EnumType._create_  # type: ignore[attr-defined]

    def checked(cls: Any, class_name: str, names: Any, **keywords: Any) -> Any:
        if isinstance(names, str):
            names = str.__str__(names).replace(",", " ").split()
        members = list(names.items() if isinstance(names, dict) else names)
        for each in members:
            name = _text(each if isinstance(each, str) else each[0], "a member's name")
            if is_reserved(name) or name.startswith("__"):
                raise ValueError(f"a member cannot be named {name!r}")
        given = [str.__str__(each) if isinstance(each, str) else (str.__str__(each[0]), each[1]) for each in members]
        return checked_class(create(cls, _identifier(class_name, "the type name"), given, **keywords))

    enum.EnumType._create_ = checked  # type: ignore[attr-defined]
    return {}


#: Module to a function that makes the members replaced in its facade.
REPLACED: dict[str, Callable[[], dict[str, Any]]] = {
    "collections": _collections,
    "functools": _functools,
    "operator": _operator,
    "dataclasses": _dataclasses,
    "enum": _enum,
}
