"""Escapes by library code that reads attributes itself, under names that the user's own class has chosen."""

from __future__ import annotations

import textwrap
import time

import pytest

from tasks.sandbox import Sandbox
from tests.security.attempts import assert_contained, attempt

#: Shows what a native `str.format` reads; the guarded one refuses.
READS = '"{0.__globals__}"'

PROBES = {
    # dataclasses takes the default of a field from the class: here the method itself.
    "default": f"""
        @dataclass
        class S(str):
            format: object
        def f(): return "ESCAPED" + fields(S)[0].default({READS}, print)
        """,
    "default of format_map": """
        @dataclass
        class S(str):
            format_map: object
        def f(): return "ESCAPED" + fields(S)[0].default("{p.__globals__}", {"p": print})
        """,
    "asdict": f"""
        @dataclass(init=False)
        class S(str):
            format: object = field(init=False)
        def f(): return "ESCAPED" + asdict(S({READS}))["format"](print)
        """,
    "replace": f"""
        @dataclass
        class A:
            format: object = None
        class S(A, str):
            def __new__(cls, *a, **k): return str.__new__(cls, {READS})
            def __init__(self, *a, **k): self.kept = k
        def f(): return "ESCAPED" + replace(S())[0]
        """,
    # Two objects are compared field by field: the other one's field sees this one's.
    "comparison": f"""
        seen = []
        class Other:
            def __eq__(self, other): return not seen.append(other)
        @dataclass
        class A:
            format: object = field(init=False)
        class S(A, str):
            def __new__(cls, text): return str.__new__(cls, text)
            def __init__(self, text): pass
        def f():
            one, two = S({READS}), S("")
            two.format = Other()
            one == two
            return "ESCAPED" + seen[0](print)
        """,
    "mixed into an enumeration": f"""
        @dataclass(init=False)
        class A:
            format: object = field(init=False)
        M = StrEnum("M", {{"one": {READS}}}, type=A)
        def f(): return "ESCAPED" + asdict(M.one)["format"](print)
        """,
    "the object of an AttributeError": """
        @dataclass(init=False)
        class E(AttributeError):
            obj: object = field(init=False)
        def f():
            e = E("", obj=[1])
            return "ESCAPED" + str(asdict(e))
        """,
    "slots that grow": """
        seen = []
        class C:
            __slots__ = ["a"]
            def __setattr__(self, name, value): seen.append(name)
        def f():
            C.__slots__.append("__reduce_ex__")
            copy.copy(C())
            return "ESCAPED" if seen else "nothing"
        """,
    "slots that change their text": """
        seen = []
        class Name(str):
            def __eq__(self, other): return False
            __hash__ = str.__hash__
            def startswith(self, *_): return False
        class C:
            __slots__ = (Name("a"),)
            def __setattr__(self, name, value): seen.append(type(name).__name__)
        def f():
            c = C()
            return "ESCAPED" if type(C.__slots__[0]).__name__ == "Name" else "nothing"
        """,
    # The names given as defaults in a docstring like a C function's are evaluated to make a signature.
    "docstring": """
        class B:
            __doc__ = "B(x=sys.executable)\\n--\\n\\n"
        @dataclass(init=False)
        class C(B): pass
        def f(): return "ESCAPED" + C.__doc__
        """,
    "docstring of the class": """
        class M:
            "M(x=os.__file__)\\n--\\n\\n"
        class N(M):
            pass
        @dataclass(init=False, repr=False)
        class C(N): pass
        def f(): return "ESCAPED" + C.__doc__
        """,
    "alias": """
        def f():
            try: [].nothing
            except AttributeError as error:
                return "ESCAPED" + str(type(list[int])(error, ()).obj)
        """,
}
IMPORTS = "import copy\nfrom enum import StrEnum\nfrom dataclasses import asdict, dataclass, field, fields, replace\n"


@pytest.mark.parametrize("name", PROBES)
def test_no_library_reads_for_the_user_what_he_may_not_read(everything: Sandbox, name: str) -> None:
    verdict = assert_contained(everything, IMPORTS + textwrap.dedent(PROBES[name]))
    assert verdict.refused is None, "it is a probe of what happens at run time"


def test_ordinary_data_classes_and_slots_go_on(everything: Sandbox) -> None:
    verdict = attempt(
        everything,
        """
        import copy
        from dataclasses import asdict, dataclass, field, replace
        from enum import Enum

        @dataclass
        class Image:
            "Image(name, format): a picture."
            name: str
            format: str = "png"
            obj: object = None

        @dataclass(slots=True, order=True)
        class Point:
            x: int
            y: int = 2

        @dataclass
        class Failure(Exception):
            code: int

        @dataclass(frozen=True)
        class Name(str):
            text: str = "n"

        @dataclass
        class Planet:
            mass: float
        class Planets(Planet, Enum):
            EARTH = 5.9

        class Listed:
            __slots__ = ["b", "a", "__private"]
            def __init__(self, b, a): self.b, self.a, self.__private = b, a, b + a
            def total(self): return self.__private

        class Told:
            __slots__ = {"a": "the first"}

        def f():
            image = replace(Image("i"), format="jpg")
            listed = copy.copy(Listed(1, 2))
            told = Told()
            told.a = 7
            return [
                asdict(image), str(Point(1)), Point.__doc__, sorted([Point(2), Point(1)])[0].x, str(Failure(3)),
                Planets.EARTH.mass, [listed.a, listed.b, listed.total()], list(Listed.__slots__), copy.deepcopy(told).a,
                Image.__doc__, "{}".format(Name("x")), isinstance(list[int], type(list[int])),
            ]
        """,
    )
    assert verdict.value == [
        {"name": "i", "format": "jpg", "obj": None},
        "Point(x=1, y=2)",
        "Point(x: 'int', y: 'int' = 2)",
        1,
        "3",
        5.9,
        [2, 1, 3],
        ["b", "a", "__private"],
        7,
        "Image(name, format): a picture.",
        "x",
        True,
    ]


def test_a_source_full_of_patterns_by_position_is_looked_at_once(everything: Sandbox) -> None:
    source = "class A:\n" + "    __match_args__ = ('a',)\n" * 2300 + "def f(): return 1\n"
    started = time.monotonic()
    verdict = attempt(everything, source)
    assert (verdict.refused, verdict.code) == ("not_allowed", "code_rejected"), time.monotonic() - started
