"""What user code finds at run time: the builtins, and the module namespace that it starts with."""

# ruff: noqa: SIM905 - long lists of names read best as running text.
from __future__ import annotations

import builtins
import sys

from tasks.sandbox import guards, members, output
from tasks.sandbox.facades import Facades

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

#: Without memoryview, which has let memory be used after it was freed (CPython issue 92888).
PLAIN = (
    "abs all any ascii bin bool bytearray bytes callable chr classmethod complex dict divmod enumerate filter float "
    "format frozenset hash hex id int isinstance issubclass iter len list map max min next object oct ord "
    "pow property range repr reversed round set slice sorted staticmethod str sum super tuple zip "
    "None True False Ellipsis NotImplemented __debug__"
).split()

#: Names of the user's module; `__name__` is not `__main__`, so that a script's own tests stay asleep.
MODULE_NAME = guards.USER_MODULE


def _exceptions() -> dict[str, Any]:
    # Groups carry other exceptions past `except` clauses that were written for them.
    kinds = {name: value for name, value in vars(builtins).items() if isinstance(value, type)}
    return {
        name: value
        for name, value in kinds.items()
        if issubclass(value, BaseException) and not issubclass(value, BaseExceptionGroup)
    }


def _loaded(name: str, *_: Any) -> Any:
    """`__import__` for C code such as datetime.strptime: only what the zygote has loaded. User code cannot name it."""
    try:
        return sys.modules[name]
    except KeyError:
        raise ImportError(f"{name!r} is not loaded") from None


class Namespace:
    """Made once in the zygote; each child uses its own copy-on-write copy and dies with it."""

    def __init__(self, extra_modules: Sequence[str] = ()) -> None:
        """Raises UnknownModule."""
        facades = Facades(extra_modules)
        self.exports = facades.exports
        self.builtins: dict[str, Any] = {name: getattr(builtins, name) for name in PLAIN}
        self.builtins |= _exceptions()
        self.builtins |= {
            "getattr": guards.read,
            "hasattr": guards.has,
            "setattr": guards.write,
            "delattr": guards.erase,
            "type": guards.TYPE,
            "print": output.make_print(output.stdout.write),
            "input": output.no_input,
            "_getattr_": guards.read,
            "_import_": facades.load,
            "__import__": _loaded,
            "__build_class__": members.build_class,
        }
        self.globals: dict[str, Any] = {"__builtins__": self.builtins, "__name__": MODULE_NAME}

    @property
    def builtin_names(self) -> frozenset[str]:
        """Builtins that user code may name."""
        return frozenset(name for name in self.builtins if not name.startswith("_"))
