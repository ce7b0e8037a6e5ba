"""The scripts as Redis gets them: each with what it uses of the common text, and with nothing else."""

from __future__ import annotations

import re

import pytest

from tasks.store import scripts

NAMES = sorted(path.stem for path in scripts.FOLDER.glob("*.lua"))
COMMON = [path.read_text("utf-8") for path in sorted((scripts.FOLDER / "definitions").glob("*.lua"))]
#: Every name that the common texts define at the left margin, found in another way than the code does.
DEFINED = {
    name
    for text in (scripts.moves(), *COMMON)
    for name in re.findall(r"^(?:local function |local |)([A-Za-z_]+)(?:\(| =)", text, re.MULTILINE)
}


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", re.sub(r"--.*", "", text)))


def defined(text: str) -> set[str]:
    return {name for name in DEFINED if re.search(rf"^(?:local function |local |){name}(?:\(| =)", text, re.MULTILINE)}


@pytest.mark.parametrize("name", NAMES)
def test_a_script_has_every_common_definition_that_it_uses(name: str) -> None:
    text = scripts.text(name)
    used = words(text) & DEFINED
    if name not in scripts.ALONE:
        assert used <= defined(text)
    assert text.startswith("#!lua")


def test_a_script_has_no_definition_that_it_does_not_use() -> None:
    text = scripts.text("heartbeat")
    assert {"now_ms", "run_key", "PREFIX"} <= defined(text)
    assert not {"move_run", "remove_task", "RUN_MOVES"} & defined(text)


def test_what_is_declared_before_it_is_defined_comes_with_both() -> None:
    text = scripts.text("finish")
    declared, made = text.index("\nlocal move_run\n"), text.index("\nmove_run = function")
    assert declared < text.index("move_run(following") < made


def test_every_common_definition_is_used_by_some_script() -> None:
    assert set().union(*(defined(scripts.text(name)) for name in NAMES)) >= DEFINED
