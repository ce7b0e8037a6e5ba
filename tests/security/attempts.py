"""One attempt on the sandbox, taken the way the service takes it: checked at submission, then run."""

from __future__ import annotations

import marshal
import textwrap
from dataclasses import dataclass
from typing import Any

from tasks.model import Done, Failed, Limits, Outcome
from tasks.report import Report
from tasks.sandbox import Sandbox
from tasks.sandbox.compiled import Compiled

#: A probe returns this where it has reached what it must not reach.
ESCAPED = "ESCAPED"
EXTRA_MODULES = (
    *("abc", "base64", "bisect", "copy", "dataclasses", "decimal", "enum", "fractions", "hashlib", "heapq"),
    *("statistics", "string", "textwrap", "typing", "uuid", "zoneinfo"),
)
LIMITS = Limits(timeout=20, max_result_bytes=200_000)
#: Takes a compiler longer than anybody waits, for it writes each `finally` twice.
ENDLESS = (
    "def f():\n"
    + "".join(
        f"{' ' * depth}def g():\n" if depth % 11 == 10 else f"{' ' * depth}try: pass\n{' ' * depth}finally:\n"
        for depth in range(1, 45)
    )
    + " " * 45
    + "pass\n"
)


@dataclass(frozen=True)
class Verdict:
    """What came of it."""

    #: Code of the first problem at submission, or None.
    refused: str | None
    outcome: Outcome
    stdout: str
    usage: dict[str, Any]

    @property
    def code(self) -> str:
        return "done" if isinstance(self.outcome, Done) else self.outcome.code

    @property
    def value(self) -> Any:
        assert isinstance(self.outcome, Done), self.outcome
        return self.outcome.value

    @property
    def failure(self) -> Failed:
        assert isinstance(self.outcome, Failed), self.outcome
        return self.outcome


def attempt(sandbox: Sandbox, source: str, *args: Any, limits: Limits = LIMITS, **options: Any) -> Verdict:
    """Check and run `source`, whose function is called `f`; it is run although the check refuses it."""
    source = textwrap.dedent(source)
    problems = sandbox.check(source, "f")
    report = Report(100_000)
    outcome = sandbox.run(
        source=source, function_name="f", args=list(args), kwargs={}, limits=limits, report=report, **options
    )
    return Verdict(problems[0].code if problems else None, outcome, report.stdout, report.usage)


def attempt_raw(sandbox: Sandbox, source: str, *, limits: Limits = LIMITS, **options: Any) -> Verdict:
    """Run `source` as plain Python, which no language layer has looked at: it goes where compiled code is kept."""
    source = textwrap.dedent(source) + "\n# past the policy\n"
    code = marshal.dumps(compile(source, "<raw>", "exec"))
    sandbox.compiled.keep(source, Compiled(functions=frozenset({"f"}), code=code))
    report = Report(100_000)
    outcome = sandbox.run(source=source, function_name="f", args=[], kwargs={}, limits=limits, report=report, **options)
    return Verdict(None, outcome, report.stdout, report.usage)


def assert_contained(sandbox: Sandbox, source: str) -> Verdict:
    """The probe reached nothing, and an honest run after it is right."""
    verdict = attempt(sandbox, source)
    shown = f"{verdict.outcome!r}{verdict.stdout}"
    if isinstance(verdict.outcome, Done):
        assert ESCAPED not in shown, shown
    assert ESCAPED not in verdict.stdout
    assert verdict.code != "sandbox_violation", "only the kernel stopped it"
    assert attempt(sandbox, "def f(a, b):\n    return a + b", 2, 3).value == 5
    return verdict
