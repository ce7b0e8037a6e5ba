"""A child that is no longer ours: what it writes on its channel is judged by shape, bounded, and never believed."""

from __future__ import annotations

import contextlib
import json

import pytest

from tasks.model import Failed, Limits
from tasks.report import Report
from tasks.sandbox import Sandbox, client
from tasks.sandbox.session import Violation
from tests.security.attempts import ENDLESS, LIMITS, attempt, attempt_raw

FORGE = """
import builtins, os, struct, sys, marshal, json
def frame(kind, payload): return struct.pack("<cI", kind, len(payload)) + payload
USAGE = struct.pack("<dQ", 1.0, 1)
def send(data):
    while data: data = data[os.write(0, data):]
def f():
    send({data})
    {after}
"""


def forged(sandbox: Sandbox, data: str, after: str = "os._exit(0)") -> Failed:
    outcome = attempt_raw(
        sandbox, FORGE.format(data=data, after=after), limits=Limits(timeout=3, max_result_bytes=10_000)
    ).failure
    assert attempt(sandbox, "def f(): return 1").value == 1
    return outcome


@pytest.mark.parametrize(
    "data",
    [
        "b'garbage' * 1000",
        "b'\\0' * 100",
        "struct.pack('<cI', b'R', 0xFFFFFFFF)",
        "struct.pack('<cI', b'o', 1 << 20)",
        "struct.pack('<cI', b'?', 10) + b'x' * 10",
        "frame(b'o', b'')",
        "frame(b'o', b'x' * 60_000) * 3",
        "frame(b'C', marshal.dumps(builtins.compile('1', 'x', 'exec')))",
        "frame(b'F', b'[\"f\"]') + frame(b'C', b'x')",
        "frame(b'R', b'short')",
        "frame(b'R', USAGE + b'not json')",
        "frame(b'R', USAGE + b'NaN')",
        "frame(b'R', USAGE + b'[1e999]')",
        "frame(b'R', USAGE + b'-Infinity')",
        "frame(b'R', USAGE + b'\"\\\\ud800\"')",
        "frame(b'R', USAGE + b'\"\\xff\"')",
        # What json takes of bytes and no store does: half a surrogate pair as it stands, and other encodings.
        "frame(b'R', USAGE + b'\"\\xed\\xa0\\x80\"')",
        "frame(b'R', USAGE + json.dumps(chr(0xd800)).encode('utf-16'))",
        "frame(b'R', USAGE + json.dumps(chr(0xd800)).encode('utf-32-be'))",
        "frame(b'R', USAGE + b'\\xef\\xbb\\xbf1')",
        # What it has used, which goes into the record of the run.
        "frame(b'R', struct.pack('<dQ', float('nan'), 1) + b'1')",
        "frame(b'R', struct.pack('<dQ', float('inf'), 1) + b'1')",
        "frame(b'R', struct.pack('<dQ', -1e308, 1) + b'1')",
        "frame(b'X', struct.pack('<dQ', 1e9, 1) + b'[]')",
        "frame(b'R', struct.pack('<dQ', 1.0, 2**64 - 1) + b'1')",
        "frame(b'R', USAGE + b'[' * 9_000)",
        "frame(b'R', USAGE + b'1' * 9_000)",
        "frame(b'R', USAGE + b'x' * 20_000)",
        "frame(b'X', USAGE + b'null')",
        "frame(b'X', USAGE + b'[]')",
        "frame(b'X', USAGE + b'[{}]')",
        'frame(b\'X\', USAGE + b\'[{"code": "timed_out", "message": "x", "frames": [], "left_out": 0}]\')',
        'frame(b\'X\', USAGE + b\'[{"code": "code_raised", "message": 5, "frames": [], "left_out": 0}]\')',
        'frame(b\'X\', USAGE + b\'[{"code": "code_raised", "message": "x", "frames": [["a"]], "left_out": 0}]\')',
    ],
)
def test_a_frame_that_no_child_of_ours_writes_is_a_violation(plain: Sandbox, data: str) -> None:
    assert forged(plain, data).code == "sandbox_violation"


TOLD = "dict(code='code_raised', message='x', frames=[[3, 'a']], left_out=0, link='cause')"


@pytest.mark.parametrize(
    "told",
    [
        f"[{TOLD}] * 4",
        f"[{TOLD} | dict(frames=[[3, 'a']] * 41)]",
        f"[{TOLD} | dict(message='x' * 12_001)]",
        f"[{TOLD}, {TOLD} | dict(message='x' * 12_001)]",
        f"[{TOLD}, {TOLD} | dict(message=[[[]]])]",
        f"[{TOLD}, {TOLD} | dict(message=chr(0xd800))]",
        f"[{TOLD} | dict(link=[]), {TOLD}]",
    ],
)
def test_a_failure_is_told_no_longer_than_a_child_of_ours_would(plain: Sandbox, told: str) -> None:
    # 200 links of 100 frames, 250 KiB of them, would make a traceback of megabytes.
    assert forged(plain, f"frame(b'X', USAGE + json.dumps({told}).encode())").code == "sandbox_violation"


def test_a_frame_that_never_ends_is_waited_for_until_the_deadline(plain: Sandbox) -> None:
    assert forged(plain, "struct.pack('<cI', b'R', 500) + b'x'", "while True: pass").code in ("timed_out", "cpu_limit")


def test_problems_and_refusals_that_are_made_up_hurt_only_the_run_itself(plain: Sandbox) -> None:
    refused = forged(plain, "frame(b'N', b'\\xff' * 2000)")
    assert refused.code == "sandbox_unavailable"
    assert len(refused.message) < 700
    # Who runs code compiles none, so there is nothing to find in it.
    for problems in (json.dumps([["x" * 200, "y" * 5000, 1, 1]]), "[]", "[1]", '[["a", "b", "c", "d"]]', "{}", "5"):
        assert forged(plain, f"frame(b'P', {problems.encode()!r})").code == "sandbox_violation"


def test_a_value_that_is_made_up_is_plain_data_all_the_same(plain: Sandbox) -> None:
    data = "frame(b'R', USAGE + json.dumps({'a': [1, 'b', None, 1.5, True]}).encode())"
    verdict = attempt_raw(plain, FORGE.format(data=data, after="os._exit(0)"))
    assert verdict.value == {"a": [1, "b", None, 1.5, True]}


def test_code_cannot_be_planted_for_a_later_run(plain: Sandbox) -> None:
    source = "def f(): return 'honest'"
    other = "planted = frame(b'F', b'[\"f\"]') + frame(b'C', marshal.dumps(builtins.compile('def f(): return 1', 'x', 'exec')))"
    forged(plain, f"({other.partition(' = ')[2]})")
    assert attempt(plain, source).value == "honest"
    assert attempt(plain, source).value == "honest"


def test_a_child_that_closes_its_channel_is_a_child_that_died(plain: Sandbox) -> None:
    assert forged(plain, "b''", "os._exit(0)").code == "interpreter_crashed"
    assert forged(plain, "b''", "os._exit(7)").message == "The Python interpreter crashed (exit code 7)."


@pytest.mark.parametrize("times", [1, 2])
def test_a_function_that_the_code_does_not_define_is_told_the_first_time_too(plain: Sandbox, times: int) -> None:
    source = f"print('never')\ndef g(): return 1\n# {times}\n"
    for _ in range(times):
        report = Report(100)
        outcome = plain.run(source=source, function_name="f", args=[], kwargs={}, limits=LIMITS, report=report)
    assert isinstance(outcome, Failed)
    assert (outcome.code, report.stdout) == ("code_rejected", "")
    assert "defines no function f at top level; it defines g." in outcome.message


@pytest.mark.parametrize(
    "told",
    [
        "[]", "{}", "5", "[1]", '[["a", "b", 1]]', '[["a", "b", 1, 1, 1]]', '[["a", "b", "1", 1]]', '[["a", "b", 1.5, 1]]',
        '[["a", "b", true, 1]]', '[["a", "b", -1, 1]]', '[["a", "b", 1, 65538]]', '[["a", 5, 1, 1]]', '[[[], "b", 1, 1]]',
        '[["a", ' + "[" * 900 + "]" * 900 + ", 1, 1]]", "[" + ", ".join(['["a", "b", 1, 1]'] * 101) + "]",
        '[["a", "\\ud800", 1, 1]]', "[" * 100_000,
    ],
    ids=range(17),
)  # fmt: skip
def test_problems_that_no_compiler_of_ours_finds_are_a_violation(told: str) -> None:
    with pytest.raises(Violation):
        client._problems(told.encode())
    assert client._problems(b'[["a", "b", 1, 65537]]')[0].column == 65_537


def test_sources_that_take_long_are_few_at_a_time_and_keep_no_other_waiting(
    plain: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as busy:
        for _ in range(client.SLOW_CHECKS):
            busy.enter_context(plain._slow_checks)
        assert plain.check("def f(): return 'quick'", "f") == []
        assert [(each.code, each.message) for each in plain.check(ENDLESS, "f")] == [
            ("sandbox_unavailable", "Too many sources that take long are being checked now; try again.")
        ]
    monkeypatch.setattr(client, "CHECK_SECONDS", 1.5)
    assert [each.code for each in plain.check(ENDLESS, "f")] == ["code_too_complex"]


def test_a_source_that_takes_long_is_gone_on_with(plain: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "QUICK_SECONDS", 0.0)  # over before its child has answered
    assert plain.check("def f(): return 'slow'\n" + "# long\n" * 8000, "f") == []
