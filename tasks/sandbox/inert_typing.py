"""`typing` for user code: names that can be subscripted, combined and inherited from, and mean nothing at run time."""

# ruff: noqa: SIM905 - long lists of names read best as running text.
from __future__ import annotations

import collections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BASES: dict[str, type] = {
    "List": list,
    "Dict": dict,
    "Set": set,
    "FrozenSet": frozenset,
    "Tuple": tuple,
    "DefaultDict": collections.defaultdict,
    "OrderedDict": collections.OrderedDict,
    "Counter": collections.Counter,
    "Deque": collections.deque,
    "TypedDict": dict,
}

NAMES = (
    "Any Union Optional Callable Iterable Iterator Sequence MutableSequence Mapping MutableMapping Generator "
    "Collection Container Hashable Sized Reversible Literal Final ClassVar Type Text NoReturn Never Annotated "
    "Concatenate ParamSpec AnyStr SupportsInt SupportsFloat SupportsAbs SupportsIndex SupportsRound "
    "AbstractSet MutableSet Pattern Match IO Self TypeAlias TypeGuard Required NotRequired LiteralString "
    "Unpack ByteString KeysView ValuesView ItemsView "
).split()


class Subscriptable:
    """What a class inherits from `Generic`, `Protocol` and their like: `Stack[int]` is `Stack`."""

    __slots__ = ()

    def __class_getitem__(cls, parameters: Any) -> Any:
        return cls


class Inert:
    """One name of `typing`."""

    __slots__ = ("_base", "_label")

    def __init__(self, label: str, base: type | None = None) -> None:
        object.__setattr__(self, "_label", label)
        object.__setattr__(self, "_base", base)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("names of typing cannot be changed")

    def __getitem__(self, parameters: Any) -> Inert:
        return self

    def __or__(self, other: Any) -> Inert:
        return self

    __ror__ = __or__

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """An instance of the class that the name stands for, where it stands for one."""
        base: Any = object.__getattribute__(self, "_base")
        return self if base is None else base(*arguments, **keywords)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        base = object.__getattribute__(self, "_base")
        if base is not None:
            return (base,)
        # Once, however many of these names a class inherits from.
        return (Subscriptable,) if next(each for each in bases if isinstance(each, Inert)) is self else ()

    def __repr__(self) -> str:
        return f"typing.{object.__getattribute__(self, '_label')}"


NAMED_TUPLE = Inert("NamedTuple")


def _identity(value: Any) -> Any:
    return value


def public() -> dict[str, Any]:
    """The members of the `typing` facade."""
    found: dict[str, Any] = {name: Inert(name) for name in (*NAMES, "Generic", "Protocol", "TypeVar", "NewType")}
    found |= {name: Inert(name, base) for name, base in BASES.items()}
    found |= dict.fromkeys(("overload", "final", "no_type_check", "runtime_checkable", "override"), _identity)
    found["NamedTuple"] = NAMED_TUPLE
    found["cast"] = lambda _kind, value: value
    found["NewType"] = lambda _name, base: base
    found["TypeVar"] = lambda name, *_, **__: Inert(str(name)[:80])
    found["TYPE_CHECKING"] = False
    return found
