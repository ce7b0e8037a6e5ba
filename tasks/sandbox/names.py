"""Which names and attributes user code may spell: the one place where both the policy and the run-time guards look."""

# ruff: noqa: SIM905 - long lists of names read best as running text.
from __future__ import annotations

from enum import Enum

#: What tracebacks call the user's source.
FILENAME = "<task>"

#: Attributes of enum classes that a user may define or read although they look like ours.
ALLOWED_SUNDERS = frozenset({"_value_", "_name_", "_missing_", "_generate_next_value_", "_ignore_", "_order_"})

#: Special methods that a class may define and that may be read, as in `super().__init__`.
#: Python Language Reference, "Special method names", without finalisers, attribute interception, descriptors of
#: classes, pickling, introspection and asynchronous protocols; and without `__index__`, which C code calls in the
#: middle of things: what a bytearray does while one of the user's runs has corrupted memory (CPython issue 91153).
SPECIAL_METHODS = frozenset(
    f"__{name}__"
    for name in (
        "new init repr str bytes format lt le eq ne gt ge hash bool call len length_hint getitem setitem delitem "
        "missing iter next reversed contains enter exit getattr setattr delattr get set set_name init_subclass "
        "class_getitem add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or radd rsub rmul "
        "rmatmul rtruediv rfloordiv rmod rdivmod rpow rlshift rrshift rand rxor ror iadd isub imul imatmul itruediv "
        "ifloordiv imod ipow ilshift irshift iand ixor ior neg pos abs invert complex int float round trunc "
        "floor ceil copy deepcopy post_init"
    ).split()
)

#: Names that may be assigned in a class body besides special methods.
CLASS_SETTINGS = frozenset({"__slots__", "__match_args__", "__hash__", "__doc__"})

#: Attributes with two underscores that may be read, as far as the guard lets them through.
READABLE = frozenset({"__name__", "__qualname__", "__doc__", "__members__", "__cause__", "__match_args__", "__slots__"})

#: Attributes whose meaning depends on the object: a formatter of strings, the object an AttributeError was about,
#: methods that take an attribute name, and the ends of a descriptor.
DEPENDING = (
    frozenset({"format", "format_map", "obj", "__setattr__", "__delattr__", "__class__", "__get__", "__set__"})
    | READABLE
)

#: Attributes that lead from an object into the interpreter (`inspect` documents them).
INTROSPECTION = frozenset(
    (
        "tb_frame tb_next f_back f_builtins f_code f_generator f_globals f_locals f_trace co_code co_consts co_names "
        "gi_frame gi_code gi_yieldfrom cr_await cr_frame cr_code cr_origin ag_await ag_frame ag_code "
        "mro cell_contents with_traceback"
    ).split()
)

#: What modules say about themselves; it means nothing to Python or to us.
MODULE_LABELS = frozenset(
    f"__{name}__" for name in ("all", "author", "copyright", "credits", "date", "email", "license", "status", "version")
)

#: Names that user code may read although they have two underscores.
READABLE_NAMES = frozenset({"__name__", "__debug__"})

UNRESERVED = ALLOWED_SUNDERS | MODULE_LABELS


class Access(Enum):
    """How an attribute may be read."""

    #: As in ordinary Python.
    NATIVE = "native"
    #: Through the guard, which looks at the object.
    GUARDED = "guarded"
    #: Not at all.
    DENIED = "denied"


def is_reserved(name: str) -> bool:
    """Names with an underscore at both ends belong to Python and to us; `_` and `__` are anybody's."""
    return len(name) > 2 and name[0] == "_" == name[-1] and name.strip("_") != "" and name not in UNRESERVED


def access(attribute: str) -> Access:
    """How `attribute` of any object may be read."""
    if attribute in DEPENDING:
        return Access.GUARDED
    if attribute in INTROSPECTION:
        return Access.DENIED
    if is_reserved(attribute) and attribute not in SPECIAL_METHODS:
        return Access.DENIED
    return Access.NATIVE


def may_write(attribute: str) -> bool:
    """Whether `x.attribute = …` is allowed."""
    return not is_reserved(attribute) and attribute not in INTROSPECTION
