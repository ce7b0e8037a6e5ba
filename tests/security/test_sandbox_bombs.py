"""Code that takes too much: memory, processor, output, depth, at run time and when it is compiled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasks.model import Limits
from tasks.sandbox import Sandbox
from tests.security.attempts import attempt

#: Far more than what ends these runs takes, on a machine that has other work as well.
LIMITS = Limits(timeout=150, max_result_bytes=100_000)


@pytest.fixture(scope="module")
def tight() -> Iterator[Sandbox]:
    sandbox = Sandbox(memory_mb=64, cpu_seconds=1)
    yield sandbox
    sandbox.close()


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        ("def f():\n    while True: pass", {"cpu_limit"}),
        ("def f():\n    while True:\n        try: raise ValueError\n        except BaseException: pass", {"cpu_limit"}),
        ("def f():\n    try:\n        while True: pass\n    finally:\n        while True: pass", {"cpu_limit"}),
        ("import math\ndef f(): return math.factorial(10**8)", {"cpu_limit", "memory_limit"}),
        ("def f(): return 9 ** 9 ** 9", {"cpu_limit", "memory_limit"}),
        ("def f(): return 1 << 10**10", {"memory_limit"}),
        ("def f(): return pow(3, 10**9)", {"cpu_limit", "memory_limit"}),
        ("import re\ndef f(): return re.match(r'(a+)+$', 'a' * 60 + 'b')", {"cpu_limit"}),
        ("import re\ndef f(): return re.sub(r'(.*)*x', '', 'a' * 40)", {"cpu_limit", "done"}),
        ("def f(): return sum(range(10**12))", {"cpu_limit"}),
        ("def f(): return [0] * 10**9", {"memory_limit"}),
        ("def f(): return bytearray(10**9)", {"memory_limit"}),
        ("def f(): return 'a' * 10**10", {"memory_limit"}),
        ("def f():\n    a = []\n    while True: a.append('x' * 100_000)", {"memory_limit"}),
        ("def f():\n    a = 'x'\n    while True: a += a", {"memory_limit"}),
        ("def f():\n    kept = []\n    while True:\n        try: kept.append(bytearray(10**6))\n        except MemoryError: pass", {"cpu_limit"}),
        ("def f(): return f()", {"code_raised"}),
        ("def f():\n    try: return f()\n    except RecursionError: return f()", {"cpu_limit", "code_raised"}),
        ("class A:\n    def __repr__(self): return repr(self)\ndef f(): return repr(A())", {"code_raised"}),
        ("class A:\n    def __eq__(self, o): return self == o\ndef f(): return A() == A()", {"code_raised"}),
        ("def f():\n    x = ()\n    for _ in range(500_000): x = (x,)\n    return hash(x)", {"interpreter_crashed", "memory_limit", "code_raised"}),
        ("def f():\n    x = []\n    for _ in range(500_000): x = [x]\n    return repr(x)", {"code_raised", "memory_limit"}),
        ("def f():\n    x = []\n    for _ in range(500_000): x = [x]\n    return x", {"result_not_serializable", "memory_limit"}),
        ("def f():\n    x = {}\n    for _ in range(100_000): x = {'a': x}\n    return x", {"result_not_serializable", "memory_limit"}),
        ("import json\ndef f(): return json.loads('[' * 100_000)", {"code_raised"}),
        ("def f(): return int('9' * 100_000)", {"code_raised"}),
        ("def f(): return str(10 ** 100_000)", {"code_raised"}),
        ("def f(): return 10 ** 10_000", {"result_not_serializable"}),
        ("import itertools\ndef f(): return list(itertools.count())", {"memory_limit", "cpu_limit"}),
        ("import collections\ndef f(): return collections.Counter(range(10**9))", {"memory_limit", "cpu_limit"}),
        ("def f(): return '{:>1000000000}'.format(1)", {"memory_limit"}),
        ("def f(): return '%1000000000d' % 1", {"memory_limit"}),
        ("def f(): return f'{1:>1000000000}'", {"memory_limit"}),
        ("class E(Exception):\n    def __str__(self):\n        while True: pass\ndef f(): raise E", {"cpu_limit"}),
        ("class E(Exception):\n    def __str__(self): return 'x' * 10**6\ndef f(): raise E", {"code_raised"}),
        ("class E(Exception):\n    def __str__(self): raise E\ndef f(): raise E", {"code_raised"}),
        ("class E(Exception):\n    def __str__(self): return '\\ud800'\ndef f(): raise E", {"code_raised"}),
        (f"def {'n' * 20_000}(): {'n' * 20_000}()\ndef f(): {'n' * 20_000}()", {"code_raised"}),
        ("def f():\n    e = ValueError('x')\n    for i in range(100_000):\n        n = ValueError(i)\n        try: raise n from e\n        except ValueError: e = n\n    raise e", {"code_raised", "memory_limit", "interpreter_crashed"}),
        ("def f():\n    def g():\n        while True: yield\n    return list(g())", {"memory_limit", "cpu_limit"}),
        ("while True: pass\ndef f(): return 1", {"cpu_limit"}),
        ("x = [0] * 10**9\ndef f(): return 1", {"memory_limit"}),
        ("def f(): return 'a' * 200_000", {"result_too_large"}),
        ("def f(): raise SystemExit(3)", {"code_raised"}),
        ("def f(): raise KeyboardInterrupt", {"code_raised"}),
        ("def f(): raise GeneratorExit", {"code_raised"}),
        ("def f(): raise StopIteration", {"code_raised"}),
        ("def f(): return float('inf')", {"result_not_serializable"}),
    ],
)  # fmt: skip
def test_a_run_that_takes_too_much_ends_with_the_right_code(tight: Sandbox, source: str, codes: set[str]) -> None:
    verdict = attempt(tight, source, limits=LIMITS)
    assert verdict.code in codes, verdict.outcome
    assert attempt(tight, "def f(): return 1").value == 1


@pytest.mark.parametrize(
    "source",
    [
        "(" * 3_000 + ")" * 3_000,
        "x = " + "[" * 500 + "]" * 500,
        "x = " + "-" * 30_000 + "1",
        "x = " + "not " * 15_000 + "1",
        "x = 1" + " + 1" * 16_000,
        "x = " + "(lambda: " * 300 + "1" + ")" * 300,
        "x = f" + ".a" * 30_000,
        "x = " + "f(" * 5_000 + ")" * 5_000,
        "x = '" + "{" * 60_000 + "'",
        "x = f'" + "{x:" * 200 + "}" * 200 + "'",
        "\n".join("  " * depth + "if 1:" for depth in range(99)) + "\n" + "  " * 99 + "pass",
        "\n".join(" " * depth + "try:" for depth in range(19)) + "\n" + " " * 19 + "pass\n"
        + "\n".join(" " * depth + "finally: g()" for depth in reversed(range(19))),
        "x = " + "[x for x in " * 60 + "y" + "]" * 60,
        "\n".join(f"def g{number}(): pass" for number in range(3_000)),
        "x = " + ", ".join(f"'{number}'" for number in range(7_000)),
        "match 1:\n    case " + "[" * 3_000 + "]" * 3_000 + ": pass",
        "match 1:\n    case " + " | ".join(str(number) for number in range(9_000)) + ": pass",
        "x = 1_0" + "0" * 60_000,
        "x = '" + "\\N{BULLET}" * 6_000 + "'",
        "x = 0x" + "f" * 60_000,
        "global " + ", ".join(f"a{number}" for number in range(7_000)),
        "class A: " + "; ".join(f"a{number} = 1" for number in range(5_000)),
        "x = 'a' * 10**9",
        "x = 2 ** 10 ** 8",
        "x = (1,) * 10**9",
        "x = 1 if 1 else " * 3_000 + "2",
        "\t" * 60_000,
        "#" * 60_000,
        "\\\n" * 30_000,
        "x = '''" + "\n" * 60_000,
        "def f(" + ", ".join(f"a{number}" for number in range(9_000)) + "): pass",
        "@f\n" * 20_000 + "def g(): pass",
    ],
    ids=lambda source: source[:12].strip(),
)  # fmt: skip
def test_source_that_is_a_bomb_for_the_compiler_is_answered(tight: Sandbox, source: str) -> None:
    verdict = attempt(tight, f"def f(): return 1\n{source}\n", limits=LIMITS)
    expected = {"done", "code_rejected", "code_raised", "memory_limit", "cpu_limit"}
    assert verdict.code in expected, verdict.outcome
    if verdict.refused is not None:
        assert verdict.refused in ("syntax_error", "code_too_complex", "code_too_large", "name_not_allowed")
    assert attempt(tight, "def f(): return 1").value == 1


def test_printing_without_end_is_cut_and_kills_nobody(tight: Sandbox) -> None:
    verdict = attempt(tight, "def f():\n    for n in range(300_000): print('x' * 50)\n    return 'done'", limits=LIMITS)
    assert verdict.code in ("done", "cpu_limit")
    assert len(verdict.stdout) == 100_000


@pytest.mark.parametrize("text", ["'\\ud800'", "'\\x00'", "'\\n' * 10", "'é' * 99_999", "chr(0x10ffff) * 40_000", "''"])
def test_what_is_printed_is_text_however_odd(tight: Sandbox, text: str) -> None:
    verdict = attempt(tight, f"def f():\n    print({text}, end='')\n    return 1", limits=LIMITS)
    assert verdict.value == 1
    verdict.stdout.encode("utf-8")


def test_output_of_a_run_that_is_killed_is_kept_up_to_the_kill(tight: Sandbox) -> None:
    source = "def f():\n    for n in range(100): print(n)\n    while True: pass"
    verdict = attempt(tight, source, limits=LIMITS)
    assert verdict.code == "cpu_limit"
    assert verdict.stdout == "".join(f"{number}\n" for number in range(100))
    late = attempt(tight, source, limits=Limits(timeout=0.3, max_result_bytes=1000))
    assert late.code == "timed_out"
    assert late.stdout == verdict.stdout
    assert late.usage["cpu"] > 0
    assert late.usage["peak_memory"] > 1_000_000
    assert 0.3 <= late.usage["wall"] < 5
