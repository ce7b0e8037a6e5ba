"""What C code calls in the middle of things, and what a child says after the user's code has run."""

from __future__ import annotations

import json
import textwrap

import pytest

from tasks.model import Done
from tasks.sandbox import Sandbox, wire
from tasks.sandbox.session import Violation, parse_result
from tasks.sandbox.trace import told_failure
from tests.security.attempts import attempt, attempt_raw

#: CPython 3.11 writes into another object's memory here.
STALE_BUFFER = """
    def f():
        size = 2000
        ba = bytearray(size)
        found = []
        class X:
            def __index__(self):
                ba.clear()
                found.extend(bytearray(size) for _ in range(20))
                ba.extend(bytes(size + 5000))
                return 0x41
        ba[1500] = X()
        return [[i, r.index(0x41)] for i, r in enumerate(found) if 0x41 in r]
"""
WAYS_TO_INDEX = (
    STALE_BUFFER,
    "def f():\n    class X:\n        __index__ = lambda self: 1\n    return X()",
    "class X: pass\nX.__index__ = lambda self: 1\ndef f(): return 1",
    "def f():\n    class X: pass\n    setattr(X, '__index__', lambda self: 1)\n    return [1, 2][X()]",
    "def f():\n    class X:\n        __slots__ = ('__index__',)\n    return 1",
    "def f():\n    class X:\n        def __set_name__(self, owner, name): setattr(owner, '__index__', lambda s: 1)\n"
    "    class Y:\n        a = X()\n    return [1, 2][Y()]",
    "def f(): return memoryview(b'x')",
)


@pytest.mark.parametrize("source", WAYS_TO_INDEX)
def test_no_code_of_the_user_runs_where_c_code_wants_a_number(everything: Sandbox, source: str) -> None:
    verdict = attempt(everything, source)
    assert not isinstance(verdict.outcome, Done)


def test_a_bytearray_works(plain: Sandbox) -> None:
    source = "def f():\n    b = bytearray(b'ab')\n    b[0] = 65\n    b.append(66)\n    return b.decode()"
    assert attempt(plain, source).value == "AbB"


@pytest.mark.parametrize(
    "patch",
    [
        "json.JSONEncoder.encode = lambda self, o: '[' * 900 + '1' + ']' * 900",
        "json.JSONEncoder.iterencode = lambda self, o, _one_shot=False: iter(['2'])",
        "json.JSONEncoder.default = lambda self, o: 3",
        "json.JSONEncoder.encode = 5",
    ],
)
def test_a_result_is_written_by_code_that_the_user_cannot_change(plain: Sandbox, patch: str) -> None:
    source = textwrap.dedent(
        f"""
        import json
        def f(fails=False):
            {patch}
            if fails:
                1 / 0
            return [1]
        """
    )
    assert attempt(plain, source).value == [1]
    verdict = attempt(plain, source, True)
    assert (verdict.code, verdict.failure.line) == ("code_raised", 6)


@pytest.mark.parametrize(
    ("data", "fits"),
    [
        ("[" * 64 + "]" * 64, True),
        ("[" * 65 + "]" * 65, False),
        ("[" * 900 + "1" + "]" * 900, False),
        ('{"a":' * 65 + "1" + "}" * 65, False),
        (json.dumps([0] * 199_999), True),
        (json.dumps([0] * 200_001), False),
        ("NaN", False),
        ("[" * 100_000, False),
    ],
)
def test_the_worker_holds_results_to_the_same_bounds(data: str, fits: bool) -> None:
    if fits:
        assert parse_result(data.encode()) == json.loads(data)
    else:
        with pytest.raises(Violation):
            parse_result(data.encode())


def told(**over: object) -> list[dict[str, object]]:
    return [{"code": "code_raised", "message": "m", "frames": [[1, "f"]], "left_out": 0, **over}]


@pytest.mark.parametrize(
    "forged",
    [
        told(frames=[[7, "f"]]),
        told(frames=[[-5, "f"]]),
        told(frames=[[True, "f"]]),
        told(frames=[[1.5, "f"]]),
        told(frames=[[1, 'f\n  File "/etc/passwd", line 1']]),
        told(frames=[[1, "f" * 300]]),
        told(frames=[[1, "f"]] * 500),
        told(frames=[[1]]),
        told(frames="x"),
        told(left_out=10**100),
        told(left_out="9"),
        told(left_out=-1),
        told(code="timed_out"),
        told(message=["m"]),
        [],
        {},
        None,
    ],
)
def test_a_failure_that_no_child_would_tell_like_this_is_a_violation(forged: object) -> None:
    assert told_failure(told(), "def f(): 1 / 0").line == 1
    with pytest.raises(Violation):
        told_failure(forged, "def f(): 1 / 0")


def test_a_child_that_writes_frames_itself_is_held_to_them(plain: Sandbox) -> None:
    def forged(depth: int) -> str:
        return f"""
            import os, struct
            def f():
                payload = struct.pack({wire.USAGE.format!r}, 0.1, 1) + b'[' * {depth} + b'1' + b']' * {depth}
                os.write(0, struct.pack({wire.FRAME.format!r}, {wire.RESULT!r}, len(payload)) + payload)
        """

    assert attempt_raw(plain, forged(2)).value == [[1]]
    assert attempt_raw(plain, forged(900)).code == "sandbox_violation"
