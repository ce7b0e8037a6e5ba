"""Every promise of the page of guarantees names a test that proves it, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "explain" / "guarantees.md"
TEXT = PAGE.read_text(encoding="utf-8")
PROMISES, PROOFS, FAULTS, *_ = re.split(r"^## .*$", TEXT, flags=re.MULTILINE)
#: Names of tests with the files that they are said to be in.
NAMED = sorted(set(re.findall(r"\[`(test_\w+)`\]\((\S+?)\)", TEXT)))


def rows(section: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def plain(text: str) -> str:
    return text.rstrip(".")


def test_every_promise_names_a_test_and_nothing_else_is_proved() -> None:
    promised = [re.match(r"\*\*(.+?)\*\*", cells[0]) for cells in rows(PROMISES)]
    assert len(promised) > 10
    assert [plain(found[1]) for found in promised if found] == [plain(cells[0]) for cells in rows(PROOFS)]
    assert all(promised)


@pytest.mark.parametrize("cells", [*rows(PROOFS), *rows(FAULTS)], ids=lambda cells: cells[0][:60])
def test_every_row_names_a_test(cells: list[str]) -> None:
    assert re.search(r"\[`test_\w+`\]", cells[-1])


@pytest.mark.parametrize(("name", "path"), NAMED, ids=[name for name, _ in NAMED])
def test_every_test_that_is_named_is_there_and_runs_with_all_others(name: str, path: str) -> None:
    module = ast.parse((PAGE.parent / path).read_text(encoding="utf-8"))
    (function,) = [each for each in module.body if isinstance(each, ast.FunctionDef) and each.name == name]
    marks = " ".join(ast.unparse(each) for each in function.decorator_list if "parametrize" not in ast.unparse(each))
    assert "slow" not in marks
    assert "skip" not in marks
