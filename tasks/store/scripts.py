"""The Lua scripts as Redis runs them: the table of moves, then records.lua, then the script itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tasks import model

FOLDER = Path(__file__).parent


@cache
def text(name: str) -> str:
    """The whole source of the script `name`. Raises FileNotFoundError where there is none."""
    parts = (moves(), (FOLDER / "records.lua").read_text("utf-8"), (FOLDER / f"{name}.lua").read_text("utf-8"))
    return "\n".join(parts)


def moves() -> str:
    """The tables of tasks/model.py as Lua tables."""
    return "\n".join(
        (
            f"local RUN_MOVES = {_table(model.RUN_MOVES)}",
            f"local SCHEDULE_MOVES = {_table(model.SCHEDULE_MOVES)}",
            f"local FINISHED = {_set(model.FINISHED)}",
            f"local ENDED = {_set(model.ENDED)}",
        )
    )


def _set(statuses: frozenset[model.Status]) -> str:
    return "{" + ", ".join(f"['{status}'] = true" for status in sorted(statuses)) + "}"


def _table(table: Mapping[model.Status, frozenset[model.Status]]) -> str:
    return "{" + ", ".join(f"['{status}'] = {_set(table[status])}" for status in sorted(table)) + "}"
