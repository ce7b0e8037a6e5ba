"""What a run prints is with its worker while the run goes on, and stays there however the run ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from tasks.model import Failed, Limits, Outcome
from tasks.report import Report
from tasks.sandbox import Sandbox
from tests.security.attempts import attempt, attempt_raw

LIMITS = Limits(timeout=60, max_result_bytes=1000)


class Going:
    """A run in a thread of its own, and what has been heard of it so far."""

    def __init__(self, sandbox: Sandbox, source: str) -> None:
        self.report = Report(100_000)
        self.outcome: Outcome | None = None
        self._work = (sandbox, source)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        sandbox, source = self._work
        self.outcome = sandbox.run(
            source=source, function_name="f", args=[], kwargs={}, limits=LIMITS, report=self.report
        )

    def hears(self, seen: Callable[[Report], bool]) -> None:
        end = time.monotonic() + 20
        while not seen(self.report):
            assert time.monotonic() < end, (self.report.stdout, self.report.stderr)
            assert self.outcome is None, self.outcome
            time.sleep(0.005)

    def stop(self) -> Outcome:
        self.report.stop("stopped")
        self._thread.join(20)
        assert self.outcome is not None
        return self.outcome


@pytest.mark.parametrize(
    ("printing", "expected"),
    [
        ("print('one')", "one\n"),
        ("print('half a line', end='')", "half a line"),
        ("print('é', end=''); print('\\U0001f600', end='')", "é\U0001f600"),
        ("print('x' * 70_000)", "x" * 70_000 + "\n"),
        ("for n in range(500): print(n)", "".join(f"{n}\n" for n in range(500))),
    ],
)
def test_what_is_printed_arrives_while_the_run_goes_on(plain: Sandbox, printing: str, expected: str) -> None:
    going = Going(plain, f"def f():\n    {printing}\n    while True: pass")
    try:
        going.hears(lambda report: report.stdout == expected)
        assert going.outcome is None
    finally:
        outcome = going.stop()
    assert isinstance(outcome, Failed)
    assert (outcome.code, going.report.stdout) == ("stopped", expected)


def test_what_the_module_prints_before_its_function_is_called_arrives_too(plain: Sandbox) -> None:
    going = Going(plain, "print('at the top')\ndef f(): return 1\nwhile True: pass")
    try:
        going.hears(lambda report: report.stdout == "at the top\n")
    finally:
        going.stop()


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("while True: pass", "cpu_limit"),
        ("x = [0] * 10**10", "memory_limit"),
        ("1 / 0", "code_raised"),
        ("return object()", "result_not_serializable"),
        ("return 'x' * 300_000", "result_too_large"),
    ],
)
def test_output_stays_however_the_run_ends(plain: Sandbox, ending: str, code: str) -> None:
    verdict = attempt(plain, f"def f():\n    print('first')\n    print('second', end='')\n    {ending}")
    assert (verdict.code, verdict.stdout) == (code, "first\nsecond")


def test_output_stays_where_the_kernel_ends_the_run_or_the_interpreter_crashes(plain: Sandbox) -> None:
    start = "import ctypes, os, sys\ndef f():\n    sys.stdout.write('first\\n')\n    "
    killed = attempt_raw(plain, f"{start}os.fork()")
    assert (killed.code, killed.stdout) == ("sandbox_violation", "first\n")
    crashed = attempt_raw(plain, f"{start}ctypes.string_at(0)")
    assert (crashed.code, crashed.stdout) == ("interpreter_crashed", "first\n")
