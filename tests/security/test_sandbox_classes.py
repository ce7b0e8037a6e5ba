"""Escapes by the machinery of classes: metaclasses, hooks, descriptors, bases that are no classes."""

from __future__ import annotations

import pytest

from tasks.sandbox import Sandbox
from tests.security.attempts import assert_contained, attempt

REFUSED_METHODS = [
    "__getattribute__",
    "__del__",
    "__class__",
    "__dict__",
    "__mro_entries__",
    "__instancecheck__",
    "__subclasscheck__",
    "__prepare__",
    "__reduce__",
    "__reduce_ex__",
    "__getstate__",
    "__setstate__",
    "__dir__",
    "__sizeof__",
    "__subclasshook__",
    "__await__",
    "__aiter__",
    "__anext__",
    "__aenter__",
    "__aexit__",
    "__module__",
    "__qualname__",
    "__annotations__",
    "__classcell__",
    "__weakref__",
    "__getnewargs__",
    "__buffer__",
    "__metaclass__",
    "__file__",
    "__bases__",
    "__mro__",
    "__traceback__",
    "__cause__",
    "__context__",
]


@pytest.mark.parametrize("name", REFUSED_METHODS)
def test_a_class_cannot_define_what_python_keeps_for_itself(plain: Sandbox, name: str) -> None:
    for body in (f"def {name}(self, *a): return self", f"{name} = None", f"class {name}: pass", f"{name}: int = 1"):
        verdict = attempt(plain, f"class A:\n    {body}\ndef f():\n    return 'ESCAPED'\n")
        assert verdict.refused == "name_not_allowed", body


@pytest.mark.parametrize(
    "source",
    [
        "class A(metaclass=type): pass\ndef f(): return 'ESCAPED'",
        "class A(**{'metaclass': type}): pass\ndef f(): return 'ESCAPED'",
        "class A(type): pass\ndef f(): return 'ESCAPED'",
        "def f(): return 'ESCAPED' + repr(type('X', (), {'__del__': 1}))",
        "def f(): return 'ESCAPED' + repr(type(type)('X', (), {}))",
        "def f(): return 'ESCAPED' + repr(type(int)('X', (int,), {}))",
        "class B: pass\ndef f(): return 'ESCAPED' + repr(B.__class__('X', (B,), {}))",
        "def f(): return 'ESCAPED' + repr(type.__new__(type, 'X', (), {}))",
        "def f(): return 'ESCAPED' + repr(type.__call__(type, 'X', (), {}))",
        "def f(): return 'ESCAPED' + repr(type.mro(int))",
        "def f(): return 'ESCAPED' + repr(type.__subclasses__(object))",
        "import math\nclass A(math): pass\ndef f(): return 'ESCAPED'",
        "class A(type(lambda: 0)): pass\ndef f(): return 'ESCAPED'",
        "class A(type((x for x in []))): pass\ndef f(): return 'ESCAPED'",
        "class A(bool): pass\ndef f(): return 'ESCAPED'",
        "class A(f := (lambda: 0)): pass\ndef g(): pass\ndef f(): return 'ESCAPED'",
        "def g(): pass\nclass A(g): pass\ndef f(): return 'ESCAPED'",
        "class A:\n    __slots__ = ('__globals__',)\ndef f(): return 'ESCAPED'",
        "class A:\n    __slots__ = ('gi_frame',)\ndef f(): return 'ESCAPED'",
        "class A:\n    def f(self): return __class__\ndef f(): return 'ESCAPED' + repr(A().f())",
        "def f():\n    class A: pass\n    A().__class__ = int\n    return 'ESCAPED'",
        "def f():\n    class A: pass\n    A.__init__ = print\n    return 'ESCAPED'",
        "def f():\n    int.real = 1\n    return 'ESCAPED'",
        "async def f(): return 'ESCAPED'",
        "def f():\n    return 'ESCAPED' + repr([x async for x in f])",
        "def f():\n    await f\n    return 'ESCAPED'",
    ],
)
def test_no_class_is_made_but_by_a_class_statement(plain: Sandbox, source: str) -> None:
    assert assert_contained(plain, source).code in ("code_rejected", "code_raised")


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(
            """
            class Maker:
                def __init__(self, name, bases, space): self.space = space
            maker = object.__new__(Maker)
            class A(maker):
                def m(self): return super().m
            def f():
                cell = A.space.get("__classcell__")
                return "ESCAPED" + repr(getattr(cell, "cell_contents"))
            """,
            id="an object as a base is called with the body",
        ),
        pytest.param(
            """
            class Hook:
                def __set_name__(self, owner, name): owner.caught = self
                def __get__(self, instance, owner):
                    return getattr(owner, "__subclasses__", "contained")
            class A:
                hook = Hook()
            def f():
                found = A.hook
                return "contained" if found == "contained" else "ESCAPED"
            """,
            id="hooks see the class and no more",
        ),
        pytest.param(
            """
            class Base:
                def __init_subclass__(cls, **options):
                    for name in ("__dict__", "__bases__", "mro", "__subclasses__"):
                        if hasattr(cls, name): print("ESCAPED")
            class A(Base, option=1): pass
            def f(): return "contained"
            """,
            id="__init_subclass__",
        ),
        pytest.param(
            """
            class A:
                def __class_getitem__(cls, item): return getattr(cls, item, "contained")
            def f(): return A["__globals__"] if A["__globals__"] == "contained" else "ESCAPED"
            """,
            id="__class_getitem__",
        ),
        pytest.param(
            """
            class Lazy:
                def __getattr__(self, name): return lambda *a, **k: ("ESCAPED", a)
            def f():
                thing = Lazy()
                return [str(len(repr(thing))), isinstance(thing, Lazy), hasattr(thing, "__reduce_ex__")]
            """,
            id="__getattr__ is not asked for what Python looks up itself",
        ),
        pytest.param(
            """
            class Sneaky(str):
                def __eq__(self, other): return True
                def __hash__(self): return hash("x")
                def __str__(self): return "x"
                def startswith(self, *a): return False
                def strip(self, *a): return ""
            def f():
                name = Sneaky("__globals__")
                if hasattr(f, name): return "ESCAPED"
                try: return "ESCAPED" + repr(getattr(f, name))
                except AttributeError: return "contained"
            """,
            id="a string that lies about itself",
        ),
    ],
)
def test_a_hook_of_a_class_learns_nothing_it_may_not_know(plain: Sandbox, source: str) -> None:
    assert assert_contained(plain, source).code in ("done", "code_raised", "code_rejected")


def test_ordinary_classes_work(plain: Sandbox) -> None:
    source = """
        class Number:
            count = 0
            def __new__(cls, *a):
                cls.count += 1
                return super().__new__(cls)
            def __init__(self, n): self.n = n
            def __add__(self, other): return Number(self.n + getattr(other, "n", other))
            __radd__ = __add__
            def __eq__(self, other): return self.n == other.n
            def __hash__(self): return hash(self.n)
            def __lt__(self, other): return self.n < other.n
            def __repr__(self): return f"{type(self).__name__}({self.n})"
            def __getattr__(self, name): return name * 2
            @property
            def double(self): return self.n * 2
            @double.setter
            def double(self, value): self.n = value / 2
            @staticmethod
            def zero(): return Number(0)
            @classmethod
            def one(cls): return cls(1)
        class Sub(Number):
            __slots__ = ()
            def __init__(self, n): super().__init__(n + 100)
        class Positive:
            def __set_name__(self, owner, name): self.name = "_" + name
            def __get__(self, instance, owner): return self if instance is None else getattr(instance, self.name)
            def __set__(self, instance, value):
                if value < 0: raise ValueError(self.name)
                setattr(instance, self.name, value)
        class Box:
            size = Positive()
            def __init__(self, size): self.size = size
        def f():
            n = Number(1) + 2
            n.double = 10
            try: Box(-1)
            except ValueError as error: said = str(error)
            return [repr(n), repr(5 + n), n.zz, repr(Sub(1)), sorted([Number(2), Number(1)])[0].n, Number.one() == Number(1),
                    repr(Number.zero()), Box(3).size, said, Number.count > 5, Sub.__name__, len({Number(1), Number(1)})]
    """
    assert attempt(plain, source).value == [
        *("Number(5.0)", "Number(10.0)", "zzzz", "Sub(101)", 1, True, "Number(0)", 3, "_size", True, "Sub", 1),
    ]
