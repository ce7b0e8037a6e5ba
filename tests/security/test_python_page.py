"""Every example of docs/reference/python.md, run as a user would."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tasks.model import Done, Failed, Limits
from tasks.report import Report
from tasks.sandbox import Sandbox

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)\n# ([^\n]*)\n```", PAGE, re.DOTALL)
LIMITS = Limits(timeout=10, max_result_bytes=100_000)


def test_there_are_examples_and_each_says_what_it_comes_to() -> None:
    assert len(EXAMPLES) == PAGE.count("```python") >= 9


@pytest.mark.parametrize(("source", "said"), EXAMPLES, ids=[said[:30] for _, said in EXAMPLES])
def test_an_example_does_what_it_says(plain: Sandbox, source: str, said: str) -> None:
    if refused := re.fullmatch(r"refused: line (\d+), (\w+)", said):
        name = re.findall(r"^def (\w+)", source, re.MULTILINE)[-1]
        problems = plain.check(source, name)
        assert (str(problems[0].line), problems[0].code) == refused.groups()
        return
    call, expected, failure = re.fullmatch(r"(.*?\))(?: == (.*)| fails: (.*))", said).groups()  # type: ignore[union-attr]
    asked = ast.parse(call, mode="eval").body
    assert isinstance(asked, ast.Call)
    assert isinstance(asked.func, ast.Name)
    assert plain.check(source, asked.func.id) == []
    outcome = plain.run(
        source=source,
        function_name=asked.func.id,
        args=[ast.literal_eval(argument) for argument in asked.args],
        kwargs={},
        limits=LIMITS,
        report=Report(10_000),
    )
    if failure:
        assert isinstance(outcome, Failed)
        code, *rest = failure.split(", ", 2)
        assert outcome.code == code
        if rest:
            assert rest == [f"line {outcome.line}", outcome.message]
    else:
        assert isinstance(outcome, Done), outcome
        assert outcome.value == ast.literal_eval(expected)
