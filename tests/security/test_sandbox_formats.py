"""Escapes by text that is a program: format strings, templates, names as text."""

from __future__ import annotations

import pytest

from tasks.sandbox import Sandbox
from tests.security.attempts import assert_contained, attempt

TEMPLATES = (
    "{0.__class__.__base__}",
    "{0.__globals__}",
    "{0.__init__.__globals__[__builtins__]}",
    "{0:{0.__globals__}}",
    "{0!r:{1}{0.__code__}}",
    "{a.__globals__}",
    "{0[key].__globals__}",
    "{.__globals__}",
    "{} {.__globals__}",
    "{[0].__globals__}",
    "{:{.__globals__}}",
)
WAYS = (
    "TEMPLATE.format(THING, '', a=THING)",
    "TEMPLATE.format_map({'a': THING, '0': THING})",
    "str.format(TEMPLATE, THING, '', a=THING)",
    "str.format_map(TEMPLATE, {'a': THING, '0': THING})",
    "getattr(TEMPLATE, 'for' + 'mat')(THING, '', a=THING)",
    "getattr(str, 'for' + 'mat')(TEMPLATE, THING, '', a=THING)",
    "operator.methodcaller('format', THING, '', a=THING)(TEMPLATE)",
    "operator.attrgetter('format')(TEMPLATE)(THING, '', a=THING)",
    "type(TEMPLATE).format(TEMPLATE, THING, '', a=THING)",
    "Text(TEMPLATE).format(THING, '', a=THING)",
    "Text.format(TEMPLATE, THING, '', a=THING)",
    "Text(TEMPLATE).up(THING, '', a=THING)",
    "Text(TEMPLATE).up_map({'a': THING, '0': THING})",
    "collections.UserString(TEMPLATE).format(THING, '', a=THING)",
    "collections.UserString.format(Fake(), THING, '', a=THING)",
    "MyUserString(TEMPLATE).up(THING, '', a=THING)",
    "list(map(str.format, [TEMPLATE], [THING], ['']))[0]",
    "functools.partial(str.format, TEMPLATE)(THING, '', a=THING)",
    "functools.reduce(str.format, [TEMPLATE, THING])",
    "str.format.__get__(TEMPLATE)(THING, '', a=THING)",
    "str.format.__call__(TEMPLATE, THING, '', a=THING)",
    "'{}'.format(Formatted()).format(THING, '', a=THING)",
    "(lambda m: m(THING, '', a=THING))(TEMPLATE.format)",
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_format_string_reads_no_attribute_that_code_may_not_read(plain: Sandbox, template: str, way: str) -> None:
    source = f"""
        import collections, functools, operator
        TEMPLATE = {template!r}
        class Text(str):
            def up(self, *a, **k): return super().format(*a, **k)
            def up_map(self, m): return super().format_map(m)
        class MyUserString(collections.UserString):
            def up(self, *a, **k): return super().format(*a, **k)
        class Fake:
            data = TEMPLATE
        class Formatted:
            def __format__(self, spec): return TEMPLATE
        class Thing:
            def __init__(self): self.key = f
            def __getitem__(self, key): return f
        THING = f if "key" not in TEMPLATE else Thing()
        THING = Thing() if "__init__" in TEMPLATE else THING
        def f():
            return "ESCAPED" + str({way})
    """.replace("THING = f if", "def g(): pass\n        THING = g if")
    verdict = assert_contained(plain, source)
    assert verdict.code == "code_raised"


def test_ordinary_formats_work_as_in_python(plain: Sandbox) -> None:
    source = """
        class Point:
            def __init__(self): self.x, self.parts = 3, {"a": [1, 2]}
        def f():
            p = Point()
            return [
                "{} {0.x}".replace("{} ", "").format(p), "{p.x:>4}|{p.parts[a][1]!r}".format(p=p), "{:,}".format(1234),
                "{0:{1}}".format(3, 5), "{p.x:{w}}".format(p=p, w=4), "{a}".format_map({"a": 1}), f"{p.x!r:>3}",
                "%(a)s %(b)d" % {"a": 1, "b": 2}, "{{}}".format(), "{:%Y}".format(__import_date()),
            ]
        def __import_date():
            import datetime
            return datetime.date(2024, 1, 2)
    """
    assert attempt(plain, source).value == ["3", "   3|2", "1,234", "    3", "   3", "1", "  3", "1 2", "{}", "2024"]


def test_a_template_and_a_formatter_reach_nothing(everything: Sandbox) -> None:
    source = """
        import string
        class Sneaky(string.Template):
            idpattern = r"[a-z_.]+"
            flags = 0
        def f():
            if hasattr(string, "Formatter") or hasattr(string, "_string"): return "ESCAPED"
            try: return Sneaky("$f.__globals__").substitute({"f": f})
            except KeyError as error: return f"contained {error}"
    """
    assert assert_contained(everything, source).value == "contained 'f.__globals__'"


def test_fields_that_read_attributes_are_filled_in_as_in_python(plain: Sandbox) -> None:
    templates = [
        "{.real}", "{.real} {} {.imag}", "{.real:{.imag}}|{}", "{0.real} {1.imag}", "{:{.real}}", "{}{{}}{.real:>4}",
        "{.real} {0}", "{0} {.real}", "{.real", "{.}", "{9.real}", "{.nothing}", "{n.real} {.imag}", "{.real!z}",
    ]  # fmt: skip
    source = """
        def f(templates):
            found = []
            for template in templates:
                try: found.append(template.format(7, 8, 9, 10, n=5))
                except Exception as error: found.append(type(error).__name__)
            return found
        """

    def native(template: str) -> str:
        try:
            return template.format(7, 8, 9, 10, n=5)
        except (ArithmeticError, AttributeError, LookupError, ValueError) as error:
            return type(error).__name__

    assert attempt(plain, source, templates).value == [native(template) for template in templates]
