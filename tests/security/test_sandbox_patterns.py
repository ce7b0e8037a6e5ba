"""Escapes by `match`: class patterns read attributes in C, past every guard at run time."""

from __future__ import annotations

import pytest

from tasks.sandbox import Sandbox
from tests.security.attempts import assert_contained, attempt


@pytest.mark.parametrize(
    "field", ["gi_frame", "gi_code", "f_back", "tb_frame", "obj", "format", "cell_contents", "mro"]
)
def test_a_class_registered_for_foreign_objects_matches_them_by_no_position(everything: Sandbox, field: str) -> None:
    source = f"""
        import collections
        from collections.abc import Generator, Hashable
        from dataclasses import dataclass
        from typing import NamedTuple
        A = collections.namedtuple("A", "{field}")
        class B(NamedTuple):
            {field}: int
        class C: pass
        try:
            @dataclass
            class C:
                {field}: int
        except AttributeError: pass  # some cannot even be the name of a field
        def things():
            yield (x for x in [1])
            try: None.missing
            except AttributeError as error: yield error
            yield "text"
        def f():
            for base in (A, B, C):
                class Q(base, Hashable): pass
                for thing in things():
                    Q.register(type(thing))
                    try:
                        match thing:
                            case Q(x): return "ESCAPED" + repr(x)
                    except TypeError as error: print("contained", error)
            return "contained"
    """
    verdict = assert_contained(everything, source)
    assert verdict.value == "contained"


@pytest.mark.parametrize(
    "source",
    [
        """
        class X: pass
        X = AttributeError
        def f():
            try: None.missing
            except AttributeError as error:
                match error:
                    case X(obj=o): return "ESCAPED"
        """,
        """
        class X:
            __match_args__ = ("__globals__",)
        def f():
            match f:
                case X(g): return "ESCAPED"
        """,
        """
        NAMES = ("__glo" + "bals__",)
        class X:
            __match_args__ = NAMES
        def f(): return "ESCAPED"
        """,
        """
        class X:
            if True:
                __match_args__ = ("gi_frame",)
        def f(): return "ESCAPED"
        """,
        """
        class X:
            __match_args__ = ("a",)
            __match_args__ = ("gi_frame",)
        def f(): return "ESCAPED"
        """,
        """
        class X:
            for __match_args__ in [("gi_frame",)]: pass
        def f(): return "ESCAPED"
        """,
        """
        class X:
            (__match_args__ := ("gi_frame",))
        def f(): return "ESCAPED"
        """,
        """
        class X:
            __match_args__ = ("a",)
            __match_args__ += ("gi_frame",)
        def f(): return "ESCAPED"
        """,
        """
        class X:
            def __match_args__(self): pass
        def f(): return "ESCAPED"
        """,
        """
        class X:
            import math as __match_args__
        def f(): return "ESCAPED"
        """,
        """
        class X: pass
        def f():
            X.__match_args__ = ("gi_frame",)
            return "ESCAPED"
        """,
        """
        def f():
            match 1:
                case str.format: return "ESCAPED"
        """,
        """
        def f():
            match f:
                case object(__class__=c): return "ESCAPED"
        """,
        """
        def f():
            match []:
                case [object(__len__=object(__self__=s))]: return "ESCAPED"
        """,
        """
        def f():
            match {"a": f}:
                case {"a": object(__globals__=g), **rest}: return "ESCAPED"
        """,
    ],
)
def test_a_pattern_that_would_read_inside_is_refused_at_submission(plain: Sandbox, source: str) -> None:
    assert assert_contained(plain, source).refused is not None


@pytest.mark.parametrize(
    "trick",
    [
        'setattr(X, "__match_args__", ("gi_frame",))',
        'type.__setattr__(X, "__match_args__", ("gi_frame",))',
        'object.__setattr__(X, "__match_args__", ("gi_frame",))',
        'X.__setattr__(X, "__match_args__", ("gi_frame",))',
        'super(X, X()).__setattr__("__match_args__", ("gi_frame",))',
        'functools.update_wrapper(X, Y, assigned=["__match_args__"])',
    ],
)
def test_match_args_cannot_be_set_at_run_time(plain: Sandbox, trick: str) -> None:
    source = f"""
        import functools
        class X: pass
        class Y:
            __match_args__ = ("a",)
        def f():
            {trick}
            return "ESCAPED"
    """
    assert assert_contained(plain, source).code == "code_raised"


def test_a_copy_sets_no_match_args(everything: Sandbox) -> None:
    source = """
        import copy
        class Victim: pass
        class S:
            __slots__ = ("__match_args__",)
            def __new__(cls): return Victim
        def f():
            s = object.__new__(S)
            S.__match_args__.__set__(s, ("gi_frame",))
            copy.copy(s)
            return "ESCAPED" + repr(Victim.__match_args__)
    """
    assert assert_contained(everything, source).code == "code_raised"


def test_ordinary_patterns_match(plain: Sandbox) -> None:
    source = """
        from collections import namedtuple
        P = namedtuple("P", "x y")
        class Node:
            __match_args__ = ("left", "right")
            def __init__(self, left, right): self.left, self.right = left, right
        def show(value):
            match value:
                case Node(left=1, right=r): return f"one {r}"
                case Node(l, r) if l: return f"node {l} {r}"
                case P(x, y): return f"point {x} {y}"
                case {"kind": "a", **rest}: return f"map {rest}"
                case [first, *others]: return f"list {first} {others}"
                case str() | bytes(): return "text"
                case int(n): return f"int {n}"
                case None: return "none"
                case _: return "else"
        def f():
            return [show(v) for v in (Node(1, 2), Node(3, 4), P(5, 6), {"kind": "a", "b": 1}, [1, 2], "x", 7, None, 1.5)]
    """
    assert attempt(plain, source).value == [
        *("one 2", "node 3 4", "point 5 6", "map {'b': 1}", "list 1 [2]", "text", "int 7", "none", "else"),
    ]
