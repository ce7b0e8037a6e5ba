"""Escapes by way of a module: each facade shows its reviewed names and leads nowhere else."""

from __future__ import annotations

import pytest

from tasks.model import Limits
from tasks.sandbox import Sandbox
from tests.security.attempts import EXTRA_MODULES, assert_contained, attempt, attempt_raw

#: Five seconds of work, which take long where the machine has other work as well.
PATIENT = Limits(timeout=150, max_result_bytes=200_000)
GUIDE_MODULES = ("math", "datetime", "json", "re", "random", "collections", "itertools", "functools", "operator")
FORBIDDEN = [
    "os",
    "sys",
    "subprocess",
    "builtins",
    "importlib",
    "inspect",
    "types",
    "ctypes",
    "threading",
    "_thread",
    "multiprocessing",
    "socket",
    "ssl",
    "asyncio",
    "signal",
    "gc",
    "io",
    "pathlib",
    "tempfile",
    "shutil",
    "pickle",
    "marshal",
    "shelve",
    "code",
    "codeop",
    "runpy",
    "ast",
    "dis",
    "traceback",
    "linecache",
    "warnings",
    "weakref",
    "resource",
    "mmap",
    "fcntl",
    "pty",
    "select",
    "selectors",
    "http",
    "urllib",
    "ftplib",
    "sqlite3",
    "logging",
    "platform",
    "site",
    "time",
    "sched",
    "concurrent",
    "contextlib",
    "unittest",
    "doctest",
    "pdb",
    "trace",
    "atexit",
    "codecs",
    "locale",
    "posix",
    "nt",
    "pwd",
    "grp",
    "struct",
    "array",
    "zipimport",
    "pkgutil",
    "imp",
    "tasks",
    "tasks.sandbox",
    "RestrictedPython",
    "_io",
    "_ctypes",
    "_ast",
    "_imp",
    "encodings",
    "antigravity",
    "this",
]


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_module_that_is_not_on_the_list_cannot_be_imported(everything: Sandbox, name: str) -> None:
    for statement in (
        f"import {name}",
        f"import {name} as x",
        f"from {name} import path",
        f"from {name} import *",
        f"import math, {name}",
    ):
        assert attempt(everything, f"{statement}\ndef f():\n    return 'ESCAPED'").refused == "import_not_allowed"
        inside = f"def f():\n    try:\n        {statement}\n    except ImportError: pass\n    return 'ESCAPED'"
        if "*" not in statement:
            assert attempt(everything, inside).refused == "import_not_allowed"


@pytest.mark.parametrize(
    "statement", ["from . import x", "from .. import os", "from .os import path", "from .math import pi"]
)
def test_there_is_no_package_to_import_from(plain: Sandbox, statement: str) -> None:
    assert attempt(plain, f"{statement}\ndef f():\n    return 'ESCAPED'").refused == "import_not_allowed"


@pytest.mark.parametrize("name", [*GUIDE_MODULES, *EXTRA_MODULES])
def test_a_facade_has_no_module_in_it_and_cannot_be_changed(everything: Sandbox, name: str) -> None:
    source = f"""
        import {name} as m
        from {name} import *
        def f():
            for hidden in ("_os", "os", "sys", "_sys", "builtins", "codecs", "enum", "types", "functools", "warnings",
                           "inspect", "_collections_abc", "__dict__", "__loader__", "__spec__", "__builtins__",
                           "__init__.__globals__", "importlib", "weakref", "io", "_it", "itertools", "abc", "struct"):
                if hasattr(m, hidden) and not ("{name}", hidden) == ("collections", "abc"): return "ESCAPED " + hidden
            for write in (
                lambda: setattr(m, "planted", 1), lambda: setattr(type(m), "planted", 1),
                lambda: delattr(m, "planted"), lambda: object.__setattr__(m, "planted", 1),
                lambda: type(m)(), lambda: type(m).__new__(type(m), 1), lambda: m.__init__(1),
                lambda: type(m).__setattr__(type(m), "planted", 1),
            ):
                try:
                    write()
                    if hasattr(m, "planted"): return "ESCAPED by writing"
                except (AttributeError, TypeError): pass
            return repr(m)
    """
    assert assert_contained(everything, source).value == f"<{name}>"


@pytest.mark.parametrize("name", EXTRA_MODULES)
def test_an_extra_module_is_there_only_where_the_operator_added_it(plain: Sandbox, name: str) -> None:
    if name != "typing":
        assert attempt(plain, f"import {name}\ndef f(): return 1").refused == "import_not_allowed"


NOT_REACHED = {
    "abc": ["abc.ABCMeta", "abc.ABCMeta('X', (), {})", "abc.get_cache_token", "type(abc.ABC)('X', (), {})"],
    "base64": ["base64.main", "base64.encode(None, None)", "base64.binascii", "base64.struct"],
    "bisect": ["bisect._bisect", "type(bisect)()"],
    "copy": [
        "copy.copyreg", "copy._reconstruct", "copy.dispatch_table", "copy.copy(f).__globals__",
        "copy.deepcopy(copy).__class__.__dict__", "copy.copy(len).__self__", "copy.deepcopy((x for x in []))",
    ],
    "dataclasses": [
        "dataclasses.make_dataclass('X', ['a'])", "dataclasses._create_fn", "dataclasses.sys", "dataclasses.inspect",
        "dataclasses.fields(D)[0].__init__.__globals__", "setattr(dataclasses.fields(D)[0], 'name', 'a b')",
        "setattr(dataclasses.fields(D)[0], 'name', '__class__')",
        "object.__setattr__(dataclasses.fields(D)[0], 'name', 'x=1, *y')",
        "dataclasses.Field.name.__set__(dataclasses.fields(D)[0], 'x y')",
        "dataclasses.dataclass(D).__init__.__globals__", "dataclasses.fields(D)[0].metadata.__class__('x')",
    ],
    "decimal": ["decimal.getcontext().__reduce__()", "decimal._pydecimal", "decimal.sys"],
    "enum": [
        "enum.EnumMeta", "enum.EnumType", "enum.property", "enum.global_enum", "enum.sys", "enum.DynamicClassAttribute",
        "enum.Enum('X', {'__getattribute__': f})", "enum.Enum('X', [('__del__', f)])", "enum.Enum('X', '__reduce_ex__')",
        "enum.Enum('X', {'_value_': 1})", "enum.Enum('a b', 'A')", "enum.Flag('X', {'__class__': int})",
        "type(enum.Enum)('X', (enum.Enum,), {})", "enum.Enum._create_('X', '__del__')", "enum.Enum._member_map_",
    ],
    "fractions": ["fractions.operator", "fractions._RATIONAL_FORMAT", "fractions.Fraction.numerator.fget.__globals__"],
    "hashlib": ["hashlib.file_digest(None, 'md5')", "hashlib.__get_builtin_constructor", "hashlib.logging", "hashlib._hashlib"],
    "heapq": ["heapq.__about__", "heapq._heapq"],
    "statistics": ["statistics.sys", "statistics.NormalDist.__init__.__globals__", "statistics.attrgetter"],
    "string": ["string.Formatter()", "string._string", "string.Template.__init_subclass__.__func__", "string._re"],
    "textwrap": ["textwrap.re", "textwrap.TextWrapper.__init__.__code__"],
    "typing": ["typing.sys", "typing.get_type_hints(f)", "typing.Any.__class__.__init__.__globals__", "typing.ForwardRef('f')._evaluate"],
    "uuid": ["uuid.uuid1()", "uuid.getnode()", "uuid.os", "uuid._ifconfig_getter()", "uuid.main"],
    "zoneinfo": [
        "zoneinfo.TZPATH", "zoneinfo.reset_tzpath(['/etc'])", "zoneinfo.ZoneInfo('../../etc/passwd')",
        "zoneinfo.ZoneInfo('/etc/passwd')", "type(zoneinfo.ZoneInfo('UTC'))('../../../etc/passwd')",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", EXTRA_MODULES)
def test_what_an_extra_module_must_not_reach_is_not_reached(everything: Sandbox, name: str) -> None:
    for reach in NOT_REACHED[name]:
        source = f"""
            import {name}, dataclasses
            class D:
                a: int = 1
            D = dataclasses.dataclass(D)
            def f():
                {reach}
                return "ESCAPED"
        """
        assert assert_contained(everything, source).code in ("code_raised", "code_rejected"), reach


USED = {
    "abc": "class A(abc.ABC):\n    @abc.abstractmethod\n    def m(self): ...\ndef f():\n    try: A()\n    except TypeError: return 'abstract'",
    "base64": "def f(): return base64.b64encode(b'abc').decode() + base64.b64decode('YWJj').decode()",
    "bisect": "def f(): return bisect.bisect([1, 3, 5], 3)",
    "copy": "class A:\n    def __init__(self): self.x = [1]\ndef f():\n    a = A(); b = copy.deepcopy(a); c = copy.copy(a); a.x.append(2)\n    return [b.x, c.x, copy.deepcopy({'a': (1, [2])})['a'][1]]",
    "dataclasses": "@dataclasses.dataclass(order=True, frozen=True)\nclass A:\n    x: int\n    y: list = dataclasses.field(default_factory=list)\n    def __post_init__(self): object.__setattr__(self, 'x', self.x + 1)\n@dataclasses.dataclass(slots=True, kw_only=True)\nclass B:\n    obj: int = 1\n    format: str = 'a'\ndef f(): return [repr(A(1)), dataclasses.asdict(dataclasses.replace(A(1), y=[5])), A(1) < A(2), dataclasses.astuple(B(obj=4)), [g.name for g in dataclasses.fields(B)]]",
    "decimal": "def f(): return [decimal.Decimal('0.1') + decimal.Decimal('0.2'), str(decimal.getcontext().prec)]",
    "enum": "class C(enum.Enum):\n    RED = enum.auto()\n    @property\n    def nice(self): return self.name.title()\nF = enum.Flag('F', 'A B')\nG = enum.IntEnum('G', {'x': 7})\ndef f(): return [C.RED.nice, C(1).name, list(C.__members__), (F.A | F.B).value, G.x, [e.name for e in F]]",
    "fractions": "def f(): return str(fractions.Fraction(1, 3) + 1)",
    "hashlib": "def f(): return [hashlib.sha256(b'').hexdigest()[:8], hashlib.new('md5', b'a').hexdigest()[:8], hashlib.blake2b(b'x', digest_size=4).hexdigest()]",
    "heapq": "def f():\n    h = [3, 1, 2]; heapq.heapify(h)\n    return [heapq.heappop(h), heapq.nlargest(1, h), list(heapq.merge([1], [0]))]",
    "statistics": "def f(): return [statistics.mean([1, 2, 3]), statistics.median([1, 5, 2]), round(statistics.stdev([1, 2, 4]), 3)]",
    "string": "def f(): return [string.ascii_lowercase[:3], string.Template('$a ${b}').substitute(a=1, b=2), string.capwords('a b')]",
    "textwrap": "def f(): return textwrap.shorten('hello big world', 12) + textwrap.dedent('  x')",
    "typing": "T = typing.TypeVar('T')\nclass S(typing.Generic[T]):\n    def put(self, x: T) -> 'S[T]': return x\nclass P(typing.NamedTuple):\n    a: int\n    b: int = 2\ndef f(): return [S().put(1), P(1).b, typing.cast(int, 'x'), repr(typing.Optional[int])]",
    "uuid": "def f(): return [str(uuid.uuid5(uuid.NAMESPACE_DNS, 'a.b')), len(str(uuid.uuid4())), uuid.UUID(int=5).hex[-1]]",
    "zoneinfo": "import datetime\ndef f(): return [datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Paris')).isoformat(), 'UTC' in zoneinfo.available_timezones()]",
}  # fmt: skip
GIVES = {
    "abc": "abstract",
    "base64": "YWJjabc",
    "bisect": 2,
    "copy": [[1], [1, 2], [2]],
    "dataclasses": ["A(x=2, y=[])", {"x": 3, "y": [5]}, True, [4, "a"], ["obj", "format"]],
    "decimal": ["0.3", "28"],
    "enum": ["Red", "RED", ["RED"], 3, 7, ["A", "B"]],
    "fractions": "4/3",
    "hashlib": ["e3b0c442", "0cc175b9", "db8eb3a1"],
    "heapq": [1, [3], [0, 1]],
    "statistics": [2, 2, 1.528],
    "string": ["abc", "1 2", "A B"],
    "textwrap": "hello [...]x",
    "typing": [1, 2, "x", "typing.Optional"],
    "uuid": ["e3e5c2bb-a0f4-5aab-9a55-b4b1a9e5f5b5", 36, "5"],
    "zoneinfo": ["2024-07-01T00:00:00+02:00", True],
}


@pytest.mark.parametrize("name", EXTRA_MODULES)
def test_an_extra_module_does_what_it_is_for(everything: Sandbox, name: str) -> None:
    verdict = attempt(everything, f"import {name}\n{USED[name]}")
    if name in ("uuid", "hashlib"):
        assert verdict.value[1:2] == GIVES[name][1:2]
    else:
        assert verdict.value == GIVES[name]


WALK = """
import builtins, collections, sys, types
def f():
    names, guards = sys.modules["tasks.sandbox.names"], sys.modules["tasks.sandbox.guards"]
    forbidden = {id(value): name for name, value in builtins.vars(types).items() if value in guards.OPAQUE}
    for name in ("open", "eval", "exec", "compile", "__import__", "globals", "locals", "vars", "getattr", "setattr",
                 "delattr", "type", "dir", "input", "breakpoint"):
        forbidden[id(builtins.vars(builtins)[name])] = name
    for module in [each for each in sys.modules.values() if builtins.type(each) is types.ModuleType]:
        forbidden[id(builtins.vars(module))] = "the names of " + module.__name__
    forbidden |= {id(sys.modules): "sys.modules", id(str.format): "str.format", id(str.format_map): "str.format_map"}
    forbidden |= PLANTED
    inside = sys._getframe().f_builtins
    todo = collections.deque((name, 0, value) for name, value in inside.items() if not name.startswith("_"))
    todo.extend((name, 0, value) for name, value in inside["_import_"].__self__._modules.items())
    seen, kept, found = collections.Counter(), [], []
    while todo:
        path, depth, value = todo.popleft()
        if isinstance(value, (types.ModuleType, types.FrameType, types.CodeType, types.TracebackType)):
            found.append(path + " is a " + builtins.type(value).__name__)
        if id(value) in forbidden:
            found.append(path + " is " + forbidden[id(value)])
        kind = builtins.type(value)
        bound = builtins.getattr(value, "__self__", None)
        key = (kind, value.__name__, bound if isinstance(bound, builtins.type) else builtins.type(bound)) if kind in (
            types.BuiltinFunctionType, types.MethodWrapperType, types.MethodType) else id(value)
        kept.append(value)
        seen[key] += 1
        if seen[key] > 1 or depth > 4 or kind in (int, str, float, bytes, bool, complex, builtins.type(None)):
            continue
        if kind in (list, tuple, set, frozenset):
            todo.extend((path + "[]", depth + 1, each) for each in list(value)[:100])
        if kind in (dict, types.MappingProxyType, collections.OrderedDict):
            todo.extend((path + "[]", depth + 1, each) for each in list(value.values())[:100])
        todo.append(("type(" + path + ")", depth + 1, guards.type_of(value)))
        inherited = builtins.dir(kind) if isinstance(value, builtins.type) else []
        for name in {*builtins.dir(value), *inherited}:
            try:
                read = guards.read(value, name)
            except Exception:
                continue
            todo.append((path + "." + name, depth + 1, read))
    return [len(kept), found[:20]]
"""


def test_no_chain_of_allowed_reads_leads_from_a_builtin_or_a_module_into_the_interpreter(everything: Sandbox) -> None:
    many, found = attempt_raw(everything, WALK.replace("PLANTED", "{}"), limits=PATIENT).value
    assert found == []
    assert many > 5_000


def test_such_a_walk_does_find_what_is_there(everything: Sandbox) -> None:
    _, found = attempt_raw(everything, WALK.replace("PLANTED", '{id(range): "it"}'), limits=PATIENT).value
    assert "range is it" in found


@pytest.mark.parametrize(
    ("key", "expected"),
    [("Europe/Berlin", "2:00:00"), ("Nowhere/Land", "No time zone found"), ("../../etc/passwd", "")],
)
def test_the_class_of_zones_reads_no_file_and_tells_of_none(everything: Sandbox, key: str, expected: str) -> None:
    source = """
        import datetime, zoneinfo
        def f(key):
            made = []
            for make in (zoneinfo.ZoneInfo, type(zoneinfo.ZoneInfo("UTC")), type(zoneinfo.ZoneInfo("UTC")).no_cache):
                try:
                    made.append(str(datetime.datetime(2024, 7, 1, tzinfo=make(key)).utcoffset()))
                except Exception as error:
                    made.append(str(error))
            return made
    """
    for told in attempt(everything, source, key).value:
        assert expected in told
        assert "site-packages" not in told
        assert "/usr" not in told
