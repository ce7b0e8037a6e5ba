"""Escapes by putting a thing of one's own where a guard stands, in every way that Python binds a name."""

from __future__ import annotations

import pytest

from tasks.sandbox import Sandbox
from tests.security.attempts import assert_contained, attempt

GUARDS = ("_getattr_", "_import_", "__import__", "__builtins__", "__build_class__", "__name__", "_write_", "__loader__")
BINDINGS = (
    "NAME = 1",
    "NAME: int = 1",
    "NAME += 1",
    "a = NAME = 1",
    "a, (b, *NAME) = 1, (2, 3)",
    "[NAME] = [1]",
    "(NAME := 1)",
    "print(NAME := 1)",
    "[x for x in [1] if (NAME := x)]",
    "[NAME for NAME in [1]]",
    "{a: NAME for a, NAME in {}.items()}",
    "list(1 for NAME in [1])",
    "for NAME in [1]: pass",
    "for a, NAME in []: pass",
    "def NAME(): pass",
    "class NAME: pass",
    "def g(NAME): pass",
    "def g(NAME, /): pass",
    "def g(*, NAME=1): pass",
    "def g(*NAME): pass",
    "def g(**NAME): pass",
    "g = lambda NAME: 1",
    "g = lambda *NAME: 1",
    "g = lambda **NAME: 1",
    "g = lambda NAME=1, /: 1",
    "import math as NAME",
    "from math import pi as NAME",
    "with open_() as NAME: pass",
    "with open_() as (a, NAME): pass",
    "try: 1 / 0\nexcept Exception as NAME: pass",
    "match 1:\n    case NAME: pass",
    "match 1:\n    case 1 as NAME: pass",
    "match []:\n    case [*NAME]: pass",
    "match {}:\n    case {**NAME}: pass",
    "match 1:\n    case int(NAME): pass",
    "del NAME",
    "global NAME\nNAME = 1",
    "def g():\n    global NAME\n    NAME = 1",
    "def g():\n    a = 1\n    def h():\n        nonlocal NAME\n    return h",
    "class A:\n    NAME = 1",
    "class A:\n    def NAME(self): pass",
    "class A:\n    class NAME: pass",
    "class A:\n    import math as NAME",
    "if 1:\n    NAME = 1\nelse:\n    pass",
    "while 0:\n    NAME = 1",
)


@pytest.mark.parametrize("name", GUARDS)
def test_no_binding_takes_the_name_of_a_guard(plain: Sandbox, name: str) -> None:
    for binding in BINDINGS:
        for depth in (0, 1):
            body = binding.replace("NAME", name)
            if depth:
                body = "def outer():\n    " + body.replace("\n", "\n    ")
            verdict = attempt(plain, body + "\ndef f():\n    return 'ESCAPED'\n")
            assert verdict.refused in ("name_not_allowed", "syntax_error"), (binding, verdict)
            assert verdict.code == "code_rejected"


@pytest.mark.parametrize(
    "name", ["_getattr_", "__import__", "__builtins__", "__build_class__", "_import_", "__class__"]
)
def test_a_guard_cannot_be_named_at_all(plain: Sandbox, name: str) -> None:
    for use in (
        f"return {name}",
        f"return [{name}]",
        f"{name}('os')",
        f"return (lambda: {name})()",
        f"@{name}\n    class A: pass",
    ):
        assert attempt(plain, f"def f():\n    {use}\n").refused == "name_not_allowed", use


@pytest.mark.parametrize(
    "source",
    [
        # NFKC: Python reads these letters as the plain ones.
        "def f():\n    return 'ESCAPED' + repr(f.__ｇlobals__)",
        "def f():\n    return 'ESCAPED' + repr(f.＿＿globals＿＿)",
        "def f():\n    return 'ESCAPED' + repr(ｅval('1'))",
        "def f():\n    return 'ESCAPED' + repr(ｏpen)",
        "import ｏs\ndef f():\n    return 'ESCAPED'",
        "def f(_ｇetattr_=1):\n    return 'ESCAPED'",
        "def f():\n    match f:\n        case object(__ｇlobals__=g): return 'ESCAPED'",
        # A cookie changes nothing: the source is text already.
        "# -*- coding: utf-7 -*-\ndef f():\n    return 'ESCAPED' + repr(f.__globals__)",
        "# coding: unicode_escape\nimport os\ndef f():\n    return 'ESCAPED'",
        # Line endings and continuation.
        "import \\\n    os\ndef f():\n    return 'ESCAPED'",
        "def f():\r    return 'ESCAPED' + repr(f.__code__)",
        "def f():\n\x0c    return 'ESCAPED' + repr(f.__code__)",
        "if 1:\n    import os\ndef f():\n    return 'ESCAPED'",
        # Only the test for scripts is skipped, and only where it is never true.
        "if __name__ != '__main__':\n    import os\ndef f():\n    return 'ESCAPED'",
        "if __name__ == '__main__' or True:\n    import os\ndef f():\n    return 'ESCAPED'",
        "if __name__ == '__main__':\n    pass\nelse:\n    import os\ndef f():\n    return 'ESCAPED'",
        "if __name__ == '__main__':\n    pass\nelif True:\n    import os\ndef f():\n    return 'ESCAPED'",
    ],
)
def test_another_spelling_is_the_same_name(plain: Sandbox, source: str) -> None:
    assert assert_contained(plain, source).refused is not None


def test_a_builtin_that_is_rebound_is_the_users_own_affair(plain: Sandbox) -> None:
    source = """
        def getattr(thing, name): return "mine"
        open = len
        type = str
        def f(): return [getattr(f, "__globals__"), open([1]), type(5)]
    """
    assert attempt(plain, source).value == ["mine", 1, "5"]


def test_annotations_are_never_evaluated(plain: Sandbox) -> None:
    source = """
        x: __import__("os").system("true") = 1
        class A:
            y: [].__class__.__base__ = 2
            z: print("ESCAPED")
        def f(a: open("/etc/passwd") = 3, *args: eval("1"), **more: exec) -> globals():
            inner: print("ESCAPED") = 4
            (b): print("ESCAPED") = 5
            return [x, A.y, a, inner, b]
    """
    verdict = attempt(plain, source)
    assert verdict.value == [1, 2, 3, 4, 5]
    assert verdict.stdout == ""
