"""The Lua scripts as Redis runs them: its flags, the table of moves, records.lua, then the script itself.

A script's first line says what Redis lets it do while it is full (https://redis.io/docs/latest/develop/programmability/eval-intro/#script-flags):
`#!lua` alone is refused whole, `allow-oom` works on, `no-writes` only reads. Without that
line Redis would refuse a full server's script at its first command that needs memory, half done.

Scripts about users, sessions and API keys come after accounts.lua instead; a few need nothing before them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tasks import model
from tasks.store.records import BUCKETS

FOLDER = Path(__file__).parent


@cache
def text(name: str) -> str:
    """The whole source of the script `name`. Raises FileNotFoundError where there is none."""
    flags, _, body = (FOLDER / f"{name}.lua").read_text("utf-8").partition("\n")
    return "\n".join((flags, *_before(name), body))


#: Beginnings of the names of scripts that come after accounts.lua.
ABOUT_ACCOUNTS = ("user_", "session_", "key_")
ALONE = frozenset({"rate", "secret_put", "secret_list"})


def _before(name: str) -> tuple[str, ...]:
    if name in ALONE:
        return ()
    if name.startswith(ABOUT_ACCOUNTS):
        return ((FOLDER / "accounts.lua").read_text("utf-8"),)
    return moves(), (FOLDER / "records.lua").read_text("utf-8")


def moves() -> str:
    """The tables of tasks/model.py, and the buckets of records.py, as Lua tables."""
    return "\n".join(
        (
            f"local RUN_MOVES = {_table(model.RUN_MOVES)}",
            f"local SCHEDULE_MOVES = {_table(model.SCHEDULE_MOVES)}",
            f"local FINISHED = {_set(model.FINISHED)}",
            f"local ENDED = {_set(model.ENDED)}",
            f"local BUCKETS = {{{', '.join(str(bound) for bound in BUCKETS)}}}",
        )
    )


def _set(statuses: frozenset[model.Status]) -> str:
    return "{" + ", ".join(f"['{status}'] = true" for status in sorted(statuses)) + "}"


def _table(table: Mapping[model.Status, frozenset[model.Status]]) -> str:
    return "{" + ", ".join(f"['{status}'] = {_set(table[status])}" for status in sorted(table)) + "}"
