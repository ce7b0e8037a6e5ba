"""Frozen facades of the allowed modules: what `import` gives to user code instead of a module.

A real module carries its own imports (`random._os`, `json.codecs`); a facade has only the public names, and none of
them can be replaced.
"""

# ruff: noqa: SIM905 - long lists of names read best as running text.
from __future__ import annotations

import random
import sys
import types

from tasks.sandbox import inert_typing, members
from tasks.sandbox.guards import Frozen, no_subclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

#: The user's guide names these; always allowed, as are `typing` (inert) and `__future__` (ignored).
GUIDE_MODULES = (
    "math",
    "datetime",
    "json",
    "re",
    "random",
    "collections",
    "itertools",
    "functools",
    "operator",
)

#: Reviewed modules that SANDBOX_EXTRA_MODULES may add.
EXTRA_MODULES = (
    "abc",
    "base64",
    "bisect",
    "copy",
    "dataclasses",
    "decimal",
    "enum",
    "fractions",
    "hashlib",
    "heapq",
    "statistics",
    "string",
    "textwrap",
    "typing",
    "uuid",
    "zoneinfo",
)

#: Names taken from a module that has no `__all__`, or whose `__all__` says more than it should.
ONLY: dict[str, tuple[str, ...]] = {
    "abc": ("ABC", "abstractmethod"),
    "base64": (
        "b64encode b64decode standard_b64encode standard_b64decode urlsafe_b64encode urlsafe_b64decode b32encode "
        "b32decode b32hexencode b32hexdecode b16encode b16decode a85encode a85decode b85encode b85decode"
    ).split(),  # type: ignore[dict-item]
    "bisect": ("bisect", "bisect_left", "bisect_right", "insort", "insort_left", "insort_right"),
    "dataclasses": (
        "dataclass field fields asdict astuple replace is_dataclass Field FrozenInstanceError InitVar KW_ONLY MISSING"
    ).split(),  # type: ignore[dict-item]
    # Not the metaclass, which makes classes from a dict, and not `property`, which reads attributes by name.
    "enum": (
        "Enum IntEnum StrEnum Flag IntFlag ReprEnum auto unique member nonmember verify EnumCheck CONTINUOUS "
        "NAMED_FLAGS UNIQUE FlagBoundary STRICT CONFORM EJECT KEEP"
    ).split(),  # type: ignore[dict-item]
    "uuid": ("UUID SafeUUID uuid3 uuid4 uuid5 NAMESPACE_DNS NAMESPACE_URL NAMESPACE_OID NAMESPACE_X500").split(),  # type: ignore[dict-item]
}

#: Public names that are left out: they read attributes by name, open files, or run code.
WITHOUT: dict[str, frozenset[str]] = {
    "string": frozenset({"Formatter"}),
    "functools": frozenset({"singledispatchmethod", "WRAPPER_ASSIGNMENTS", "WRAPPER_UPDATES"}),
    "hashlib": frozenset({"file_digest"}),
}


#: Modules that may draw from the one generator of `random`.
DRAWING = frozenset({"random", *EXTRA_MODULES})


class UnknownModule(Exception):
    """A module was asked for that has no reviewed facade."""


class _Facade(Frozen):
    """Metaclass of facades: each facade is the one instance of its own class."""

    __slots__ = ()


def _repr(name: str) -> Any:
    return lambda _: f"<{name}>"


def facade(name: str, public: Mapping[str, Any]) -> Any:
    """An object with exactly these attributes, none of which can be changed."""
    namespace: dict[str, Any] = {
        key: staticmethod(value) if callable(value) else value for key, value in public.items()
    }
    namespace |= {"__slots__": (), "__repr__": _repr(name), "__module__": "builtins", "__init_subclass__": no_subclass}
    return object.__new__(_Facade(name, (), namespace))  # type: ignore[arg-type]


def _public(name: str) -> dict[str, Any]:
    __import__(name)
    module = sys.modules[name]
    names: Iterable[str] = ONLY.get(name) or getattr(module, "__all__", None) or dir(module)
    left_out = WITHOUT.get(name, frozenset())
    found = {key: getattr(module, key) for key in names if not key.startswith("_") and key not in left_out}
    found |= members.REPLACED.get(name, dict)()
    return {key: value for key, value in found.items() if not isinstance(value, types.ModuleType)}


class Facades:
    """The modules that user code may import, and the names each has."""

    def __init__(self, extra: Iterable[str] = ()) -> None:
        """Raises UnknownModule for a name in `extra` that is not on the reviewed list."""
        wanted = tuple(dict.fromkeys((*GUIDE_MODULES, *extra)))
        unknown = [name for name in wanted if name not in GUIDE_MODULES and name not in EXTRA_MODULES]
        if unknown:
            raise UnknownModule(
                f"SANDBOX_EXTRA_MODULES names {', '.join(unknown)}; only these can be added: {', '.join(EXTRA_MODULES)}"
            )
        self.exports: dict[str, frozenset[str]] = {}
        self._modules: dict[str, Any] = {}
        self._seeded = False
        for name in wanted:
            self._add(name)
        self._add("typing")

    def _add(self, name: str) -> None:
        if name in self._modules:
            return
        if name == "typing":
            public = inert_typing.public()
        elif name == "zoneinfo":
            from tasks.sandbox import zones

            public = zones.public()
        else:
            public = _public(name)
        if name == "collections":
            self._register("collections.abc", _public("collections.abc"))
            public["abc"] = self._modules["collections.abc"]
        self._register(name, public)

    def _register(self, name: str, public: Mapping[str, Any]) -> None:
        self._modules[name] = facade(name, public)
        self.exports[name] = frozenset(public)

    def load(self, name: str) -> Any:
        """What `import name` binds. Raises ImportError for a module that is not allowed."""
        try:
            found = self._modules[name]
        except KeyError:
            raise ImportError(f"{name!r} cannot be imported here") from None
        if name in DRAWING and not self._seeded:
            random.seed()  # anew, for all children have a copy of the zygote's
            self._seeded = True
        return found
