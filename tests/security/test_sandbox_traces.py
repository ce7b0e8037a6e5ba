"""Tracebacks: the user's own lines, the same that Python itself would name, and nothing of ours."""

from __future__ import annotations

import re
import textwrap
import traceback

import pytest

from tasks.sandbox import Sandbox
from tests.security.attempts import attempt

SOURCES = {
    "a function": """
        def f():
            x = 1
            return x / 0
    """,
    "the module": """
        def f(): return 1

        1 / 0
    """,
    "a class body": """
        def f():
            class A:
                x = 1

                y = x / 0
    """,
    "a class body at the top": """
        class A:
            '''A docstring.'''

            def method(self): return 1
            z = [1][1]
        def f(): return 1
    """,
    "a nested class body": """
        class A:
            class B:
                x: int = 1
                y: int = x / 0
        def f(): return 1
    """,
    "a list comprehension": """
        def f():
            return [
                1 / x
                for x in (2, 1, 0)
            ]
    """,
    "a dict comprehension over several lines": """
        def f():
            return {
                x:
                    1 / x
                for x in (1, 0)
                if x < 2
            }
    """,
    "the condition of a comprehension": """
        def f():
            return [x for x in (1, 2)
                    if x / 0]
    """,
    "a generator expression": """
        def f():
            numbers = (
                10 // x
                for x in (1, 0)
            )
            return sum(numbers)
    """,
    "nested comprehensions": """
        def f():
            return [[a / b
                     for a in (1, 2)]
                    for b in (1, 0)]
    """,
    "a nested function": """
        def f():
            def inner():
                def innermost():
                    raise ValueError("deep")
                return innermost()
            return inner()
    """,
    "a lambda": """
        def f():
            g = lambda x: (
                1 / x
            )
            return g(0)
    """,
    "a generator": """
        def numbers():
            yield 1
            raise KeyError("gone")
        def f():
            return list(numbers())
    """,
    "a method called by the interpreter": """
        class A:
            def __eq__(self, other):
                raise TypeError("not to be compared")
        def f():
            return A() == A()
    """,
    "a decorator": """
        import functools
        def careful(function):
            @functools.wraps(function)
            def wrapped(*args):
                return function(*args)
            return wrapped
        @careful
        def half(x):
            return x / 0
        def f():
            return half(1)
    """,
    "a default argument": """
        def f():
            def g(
                x=1,
                y=1 / 0,
            ):
                return x
            return g()
    """,
    "an imported module": """
        import json
        def f():
            text = "{"
            return json.loads(
                text
            )
    """,
    "a callback": """
        def key(x):
            return 1 / x
        def f():
            return sorted([1, 0], key=key)
    """,
    "a guarded attribute": """
        def f():
            text = "{} {}"
            return text.format(
                1
            )
    """,
    "a missing attribute": """
        def f():
            return (1).nothing
    """,
    "an augmented assignment": """
        def f():
            x = [1]
            x[0] += 1
            x[1] += (
                1
            )
    """,
    "a with statement": """
        class Manager:
            def __enter__(self): return self
            def __exit__(self, *_):
                raise OSError("on the way out")
        def f():
            with Manager():
                pass
    """,
    "a match statement": """
        def f():
            match [1, 0]:
                case [a, b] if a / b:
                    return 1
    """,
    "a cause": """
        def f():
            try:
                {}["x"]
            except KeyError as error:
                raise ValueError("no x") from error
    """,
    "a context": """
        def f():
            try:
                {}["x"]
            except KeyError:
                return 1 / 0
    """,
    "a finally clause": """
        def f():
            try:
                return 1
            finally:
                int("x")
    """,
    "an f-string": """
        def f():
            return f'''
                {1 / 0}
            '''
    """,
    "a text that goes over lines": '''
        def f():
            x = """
            three
            lines"""
            return 1 / 0
    ''',
    "a super call": """
        class A:
            def __init__(self, x):
                self.x = 1 / x
        class B(A):
            def __init__(self, x):
                super().__init__(x)
        def f():
            return B(0)
    """,
    "an import behind a form feed": "def f():\n    return 1 / 0\n\x0c\nx = 1\n",
}
FRAME = re.compile(r'  File "<task>", line (\d+), in (\S+)(?:\n    (.*))?')


def as_python_says(source: str) -> list[tuple[int, str]]:
    """Line and name of each of the user's frames where Python itself runs the source, causes first."""
    space: dict[str, object] = {"__name__": "task"}
    found: list[tuple[int, str]] = []
    try:
        exec(compile(source, "<task>", "exec"), space)
        space["f"]()  # type: ignore[operator]
    except Exception as error:  # noqa: BLE001 - whatever the source raises
        told: BaseException | None = error
        while told is not None:
            frames = [(each.lineno or 0, each.name) for each in traceback.extract_tb(told.__traceback__)]
            names = traceback.extract_tb(told.__traceback__)
            found[:0] = [frame for frame, each in zip(frames, names, strict=True) if each.filename == "<task>"]
            told = told.__cause__ or told.__context__
    assert found
    return found


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_a_traceback_names_the_lines_that_python_names(plain: Sandbox, source: str) -> None:
    source = textwrap.dedent(source)
    failure = attempt(plain, source).failure
    assert failure.code == "code_raised"
    assert failure.traceback is not None
    shown = FRAME.findall(failure.traceback)
    assert [(int(line), name) for line, name, _ in shown] == as_python_says(source)
    assert failure.line == int(shown[-1][0])
    lines = source.split("\n")
    assert all(text == lines[int(line) - 1].strip() for line, _, text in shown)
    assert failure.traceback.startswith("Traceback (most recent call last):")
    assert failure.traceback.endswith(failure.message)
    assert not re.search(r"sandbox|\.py\b|site-packages|zygote", failure.traceback)


def test_causes_are_told_in_their_order(plain: Sandbox) -> None:
    told = attempt(plain, SOURCES["a cause"]).failure.traceback
    assert told is not None
    first, second = told.split("\n\nThe above exception was the direct cause of the following exception:\n\n")
    assert first.endswith("KeyError: 'x'")
    assert second.endswith("ValueError: no x")


def test_a_deep_recursion_is_told_in_short(plain: Sandbox) -> None:
    failure = attempt(plain, "def f(n=0):\n    return f(n + 1)").failure
    assert failure.message == "RecursionError: maximum recursion depth exceeded"
    assert failure.traceback is not None
    assert "more frames" in failure.traceback
    assert failure.traceback.count("\n") < 100


def test_a_failure_is_told_however_long_its_path_and_its_names(plain: Sandbox) -> None:
    verdict = attempt(plain, "def f():\n    return [{'a' * 300_000: {'b': object()}}]")
    assert verdict.code == "result_not_serializable"
    assert len(verdict.failure.message) < 1000
    # The longest names there are, in twice as many bytes as UTF-8 needs, in every frame and message that is told.
    name = "\U00010400" * 210
    raising = f"def {name}(n):\n    if n: return {name}(n - 1)\n    raise ValueError('\U00010400' * 3000)\n"
    trying = f"def f():\n    try:\n        try: {name}(50)\n        except ValueError: {name}(50)\n    except ValueError: {name}(50)\n"
    verdict = attempt(plain, raising + trying)
    assert (verdict.code, verdict.failure.line) == ("code_raised", 3)
    assert verdict.failure.traceback.count("more frames") == 3  # type: ignore[union-attr]


def test_a_failure_is_told_whatever_the_code_has_made_of_the_encoder(plain: Sandbox) -> None:
    verdict = attempt(
        plain,
        """
        import json
        def f():
            json.JSONEncoder.item_separator, json.JSONEncoder.key_separator = "; ", "= "
            raise ValueError("honest")
        """,
    )
    assert (verdict.code, verdict.failure.message) == ("code_raised", "ValueError: honest")


def test_a_function_whose_definition_was_left_out_is_told_so(plain: Sandbox) -> None:
    verdict = attempt(plain, "if not __debug__:\n    def f(): return 1")
    assert verdict.code == "code_raised"
    assert verdict.failure.message == "NameError: the code has defined no function f when it is called"


def test_a_cause_that_is_no_exception_is_left_out(plain: Sandbox) -> None:
    # CPython keeps whatever C() gives, and calls it an exception.
    source = "class C(Exception):\n    def __new__(cls): return 5\ndef f(): raise ValueError('told') from C"
    assert attempt(plain, source).failure.message == "ValueError: told"
