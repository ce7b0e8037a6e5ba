"""Escapes by reading attributes: from an object to its class, a frame, a module or the interpreter."""

from __future__ import annotations

import pytest

from tasks.sandbox import Sandbox
from tests.security.attempts import assert_contained, attempt

DENIED = [
    "__base__",
    "__bases__",
    "__mro__",
    "__subclasses__",
    "__dict__",
    "__globals__",
    "__code__",
    "__closure__",
    "__builtins__",
    "__self__",
    "__func__",
    "__module__",
    "__defaults__",
    "__kwdefaults__",
    "__annotations__",
    "__wrapped__",
    "__reduce__",
    "__reduce_ex__",
    "__getattribute__",
    "__subclasshook__",
    "__instancecheck__",
    "__prepare__",
    "__loader__",
    "__spec__",
    "__traceback__",
    "__context__",
    "__objclass__",
    "__getstate__",
    "__setstate__",
    "__weakref__",
    "__dir__",
    "__origin__",
    "gi_frame",
    "gi_code",
    "gi_yieldfrom",
    "cr_frame",
    "cr_code",
    "ag_frame",
    "tb_frame",
    "tb_next",
    "f_back",
    "f_globals",
    "f_locals",
    "f_builtins",
    "f_code",
    "f_trace",
    "co_code",
    "co_consts",
    "co_names",
    "cell_contents",
    "mro",
    "with_traceback",
]


@pytest.mark.parametrize("name", DENIED)
def test_an_attribute_that_leads_inside_is_refused_however_it_is_spelled(plain: Sandbox, name: str) -> None:
    spelled = {
        "dot": f"def f():\n    return 'ESCAPED' + repr(f.{name})",
        "store": f"def f():\n    f.{name} = 1\n    return 'ESCAPED'",
        "delete": f"def f():\n    del f.{name}\n    return 'ESCAPED'",
        "augmented": f"def f():\n    f.{name} += 1\n    return 'ESCAPED'",
        "pattern": f"def f():\n    match f:\n        case object({name}=x): return 'ESCAPED'",
        "f-string": f"def f():\n    return 'ESCAPED' + f'{{f.{name}}}'",
        "default": f"def f(x=f.{name} if False else 1):\n    return 'ESCAPED'",
        "loop": f"def f():\n    for f.{name} in [1]: pass\n    return 'ESCAPED'",
    }
    for way, source in spelled.items():
        verdict = attempt(plain, source)
        assert verdict.refused == "attribute_not_allowed", way


@pytest.mark.parametrize("name", DENIED)
def test_a_name_made_at_run_time_is_refused_too(plain: Sandbox, name: str) -> None:
    source = """
        import operator
        NAME = "".join(LETTERS)
        class Text(str):
            def __eq__(self, other): return False
            def __hash__(self): return 1
        def g(): yield 1
        def f():
            try: 1 / 0
            except Exception as error: caught = error
            reached = []
            for thing in (f, g, g(), caught, int, [].append, Text, Text("x"), len, type, object, operator):
                for way in (
                    lambda: getattr(thing, NAME),
                    lambda: getattr(thing, Text(NAME)),
                    lambda: operator.attrgetter(NAME)(thing),
                    lambda: operator.attrgetter("real." + NAME)(5),
                    lambda: operator.methodcaller(NAME)(thing),
                    lambda: ("{0." + NAME + "}").format(thing),
                    lambda: ("{x." + NAME + "!r}").format_map({"x": thing}),
                    lambda: setattr(thing, NAME, 1),
                    lambda: setattr(thing, Text(NAME), 1),
                    lambda: delattr(thing, NAME),
                    lambda: object.__setattr__(thing, NAME, 1),
                    lambda: object.__delattr__(thing, NAME),
                ):
                    try:
                        way()
                        reached.append(1)
                    except (AttributeError, TypeError):
                        pass
                if hasattr(thing, NAME) or getattr(thing, NAME, None) is not None:
                    reached.append(2)
            return ["ESCAPED", reached] if reached else "contained"
    """.replace("LETTERS", repr(list(name)))
    assert attempt(plain, source).value == "contained"


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(
            """
            class Walker:
                def __enter__(self): return self
                def __exit__(self, kind, error, trace):
                    self.trace = trace
                    return True
            def f():
                with Walker() as walker: 1 / 0
                return "ESCAPED" + repr(getattr(walker.trace, "tb_" + "frame"))
            """,
            id="the traceback that a context manager is given",
        ),
        pytest.param(
            """
            def gen():
                try: yield 1
                finally: pass
            def f():
                g = gen()
                next(g)
                for name in ("gi_frame", "gi_code", "gi_yieldfrom"):
                    if hasattr(g, name): return "ESCAPED"
                try: g.throw(ValueError("x"))
                except ValueError as error:
                    return "ESCAPED" if hasattr(error, "__traceback__") else "contained"
            """,
            id="a generator's frame",
        ),
        pytest.param(
            """
            def f():
                try:
                    None.missing
                except AttributeError as error:
                    kept = getattr(error, "obj", "nothing")
                    return "contained" if kept == "nothing" and not hasattr(error, "obj") else "ESCAPED"
            """,
            id="the object of an AttributeError",
        ),
        pytest.param(
            """
            def f():
                field = AttributeError.obj
                try: None.missing
                except AttributeError as error: return "ESCAPED" + repr(field.__get__(error))
            """,
            id="the object of an AttributeError by its descriptor",
        ),
        pytest.param(
            """
            class Mine(AttributeError): pass
            def f(): return "ESCAPED" + repr(super(Mine, Mine()).obj)
            """,
            id="the object of an AttributeError by super",
        ),
        pytest.param(
            """
            class Catcher:
                def __radd__(self, other):
                    print("ESCAPED", other)
                    return 1
            def f():
                try: None.missing
                except AttributeError as error: error.obj += Catcher()
            """,
            id="the object of an AttributeError by augmented assignment",
        ),
        pytest.param(
            """
            import functools
            reader = functools.cached_property(lambda self: 1)
            reader.attrname = "__self__"
            def f():
                module = reader.__get__(type(len)).__get__(len)
                return "ESCAPED" + repr(module)
            """,
            id="a class's dictionary by cached_property",
        ),
        pytest.param(
            """
            import functools
            reader = functools.cached_property(lambda self: 1)
            class Owner: pass
            def f():
                reader.__set_name__(Owner, "__init__")
                return "ESCAPED" + repr(reader.__get__(Owner()))
            """,
            id="a cached_property named by hand",
        ),
        pytest.param(
            """
            import functools
            class Mine(functools.cached_property):
                def rename(self):
                    super().__setattr__("_name", "__self__")
                    return self
            def f():
                reader = Mine(lambda self: 1).rename()
                return "ESCAPED" + repr(reader.__get__(type(len)))
            """,
            id="a subclass of cached_property that renames itself",
        ),
        pytest.param(
            """
            def f():
                Alias = type(list[int])
                return "ESCAPED" + repr(getattr(Alias(f, ()), "__globals__"))
            """,
            id="an alias that passes attributes on",
        ),
        pytest.param(
            """
            def f():
                for thing in (len, [].append, type.__call__, int.__add__, (5).__add__, {}.get, int.numerator):
                    for kind in (type(thing), thing.__class__):
                        if hasattr(kind, "__self__") or hasattr(kind, "__objclass__"): return "ESCAPED"
                        try:
                            kind.__get__(kind.__self__, len)
                            return "ESCAPED"
                        except (AttributeError, TypeError): pass
                return "contained"
            """,
            id="descriptors of builtin types",
        ),
        pytest.param(
            """
            def f():
                for make in (type(f), type((x for x in [])), type(f.__get__(1))):
                    try:
                        make(1, {})
                        return "ESCAPED"
                    except TypeError: pass
                return "contained"
            """,
            id="types whose objects are code",
        ),
    ],
)
def test_a_walk_into_the_interpreter_ends(plain: Sandbox, source: str) -> None:
    assert_contained(plain, source)
