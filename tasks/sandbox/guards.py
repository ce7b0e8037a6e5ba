"""The guards that user code meets at run time: attributes whose meaning depends on the object, and `type`."""

from __future__ import annotations

import types

from tasks.sandbox.formatting import NATIVE_FORMAT, NATIVE_FORMAT_MAP, make_formatting
from tasks.sandbox.names import READABLE, Access, access, may_write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MISSING = object()

#: Types whose constructor makes executable objects, or whose instances lead into the interpreter.
OPAQUE = (
    types.FunctionType,
    types.CodeType,
    types.ModuleType,
    types.FrameType,
    types.TracebackType,
    types.GeneratorType,
    types.CoroutineType,
    types.AsyncGeneratorType,
    types.CellType,
    types.MethodType,
    types.MappingProxyType,
    types.SimpleNamespace,
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.WrapperDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    # Hands every attribute on that it does not have.
    types.GenericAlias,
)

#: Descriptors that bind what user code wrote; those of C types read the interpreter's own fields.
BINDERS = (types.FunctionType, types.MethodType, property, classmethod, staticmethod)
#: `__module__` of the classes that user code makes.
USER_MODULE = "task"


class Frozen(type):
    """Metaclass of classes that user code may compare and name, but neither call, subclass nor change."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise AttributeError(f"{cls.__name__} cannot be changed")

    def __delattr__(cls, name: str) -> None:
        raise AttributeError(f"{cls.__name__} cannot be changed")

    def __call__(cls, *_: Any) -> Any:
        """Raises TypeError."""
        raise TypeError(f"objects of type {cls.__name__} cannot be made here")

    def __repr__(cls) -> str:
        return f"<class {cls.__name__!r}>"


@classmethod  # type: ignore[misc]
def no_subclass(_cls: Any, /, **_: Any) -> None:
    """The `__init_subclass__` of classes that user code may see but not build on. Raises TypeError."""
    raise TypeError("this class cannot be subclassed; write a class of your own")


def _opaque(inner: type) -> type:
    """A stand-in for `inner` that works in `isinstance`, in comparisons and as `.__name__`."""

    class Kind(Frozen):
        __slots__ = ()

        def __instancecheck__(cls, value: Any) -> bool:
            return isinstance(value, inner)

        def __subclasscheck__(cls, other: type) -> bool:
            return other is cls or issubclass(other, inner)

    return Kind(inner.__name__, (), {"__slots__": (), "__init_subclass__": no_subclass})


_STAND_INS: dict[type, type] = {inner: _opaque(inner) for inner in OPAQUE}


class _TypeKind(Frozen):
    """`type` for user code: `type(x)`, `isinstance(x, type)`, but no `type(name, bases, namespace)`."""

    __slots__ = ()

    def __call__(cls, *arguments: Any) -> Any:
        if len(arguments) != 1:
            raise TypeError("type() takes one argument here; write a class statement to make a class")
        return type_of(arguments[0])

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, type)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, type)


TYPE = _TypeKind("type", (), {"__slots__": (), "__init_subclass__": no_subclass})


def type_of(value: Any) -> type:
    """The class of `value` as user code may see it."""
    kind = type(value)
    if issubclass(kind, type):
        return TYPE
    return _STAND_INS.get(kind, kind)


def read(value: Any, name: Any, default: Any = MISSING, /) -> Any:
    """`getattr` for user code. Raises AttributeError for what the policy does not let through."""
    if type(name) is not str:
        if not isinstance(name, str):
            raise TypeError(f"attribute name must be string, not '{type(name).__name__}'")
        name = str.__str__(name)
    allowed = access(name)
    if allowed is Access.DENIED or (name == "obj" and _of_attribute_error(value)):
        if default is not MISSING:
            return default
        raise AttributeError(f"{name!r} cannot be read here")
    if name == "__class__":
        return type_of(value)
    found = getattr(value, name) if default is MISSING else getattr(value, name, default)
    return found if allowed is Access.NATIVE else _shown(value, name, found)


def _of_attribute_error(value: Any) -> bool:
    if isinstance(value, super):
        value = super.__getattribute__(value, "__self__")
    return isinstance(value, AttributeError) or (isinstance(value, type) and issubclass(value, AttributeError))


def _shown(value: Any, name: str, found: Any) -> Any:
    if name in ("format", "format_map"):
        return _guarded_formatting(found)
    if name in ("__get__", "__set__"):
        if isinstance(value, BINDERS) or type.__getattribute__(type(value), "__module__") == USER_MODULE:
            return found
        raise AttributeError(f"{name!r} cannot be read here")
    if name == "__setattr__":
        return _checked(found, 2)
    if name == "__delattr__":
        return _checked(found, 1)
    if name in READABLE and isinstance(found, (types.FunctionType, types.BuiltinFunctionType, types.ModuleType)):
        raise AttributeError(f"{name!r} cannot be read here")
    return found


#: Classes of ours whose own `__setattr__` has the last word, `object.__setattr__` notwithstanding.
LOCKED: tuple[type, ...] = ()


def lock(kind: type) -> None:
    """Let nobody write to instances of `kind` past its own `__setattr__`."""
    global LOCKED
    LOCKED = (*LOCKED, kind)


def _checked(method: Any, name_from_end: int) -> Any:
    """`__setattr__` or `__delattr__`, bound or not, that writes only what the policy lets through."""

    # Closures, not functools.partial, which would show its parts.
    def checked(*arguments: Any) -> Any:
        if len(arguments) < name_from_end:
            raise TypeError("the name of an attribute is missing")
        name = arguments[-name_from_end]
        if type(name) is not str or not may_write(name):
            raise AttributeError(f"{name!r} cannot be written here")
        if isinstance(getattr(method, "__self__", None) or arguments[0], LOCKED):
            raise AttributeError(f"{name!r} cannot be written here")
        return method(*arguments)

    return checked


def _guarded_formatting(found: Any) -> Any:
    # By what was found, not by where: `super().format` in a subclass of str gives the native method as well.
    if found is NATIVE_FORMAT:
        return safe_format
    if found is NATIVE_FORMAT_MAP:
        return safe_format_map
    if isinstance(found, types.BuiltinFunctionType) and isinstance(found.__self__, str):
        return _bound(safe_format if found.__name__ == "format" else safe_format_map, found.__self__)
    return found


def _bound(function: Any, template: str) -> Any:
    def formatted(*arguments: Any, **keywords: Any) -> str:
        return str(function(template, *arguments, **keywords))

    return formatted


def has(value: Any, name: Any, /) -> bool:
    """`hasattr` for user code."""
    try:
        read(value, name)
    except AttributeError:
        return False
    return True


def write(value: Any, name: Any, new: Any, /) -> None:
    """`setattr` for user code."""
    if not isinstance(name, str) or not may_write(str.__str__(name)):
        raise AttributeError(f"{name!r} cannot be written here")
    setattr(value, str.__str__(name), new)


def erase(value: Any, name: Any, /) -> None:
    """`delattr` for user code."""
    if not isinstance(name, str) or not may_write(str.__str__(name)):
        raise AttributeError(f"{name!r} cannot be deleted here")
    delattr(value, str.__str__(name))


safe_format, safe_format_map = make_formatting(read)
