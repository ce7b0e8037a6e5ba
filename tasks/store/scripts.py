"""The Lua scripts as Redis runs them: its flags, the table of moves, definitions, then the script itself.

A script's first line says what Redis lets it do while it is full (https://redis.io/docs/latest/develop/programmability/eval-intro/#script-flags):
`#!lua` alone is refused whole, `allow-oom` works on, `no-writes` only reads. Without that
line Redis would refuse a full server's script at its first command that needs memory, half done.

Scripts about users, sessions and API keys come after definitions/accounts.lua instead; a few need nothing before them.
Of what stands before it a script gets only what it uses, for all of it is made anew with each call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from tasks import model
from tasks.store.records import BUCKETS

FOLDER = Path(__file__).parent


@cache
def text(name: str) -> str:
    """The whole source of the script `name`. Raises FileNotFoundError where there is none."""
    flags, _, body = (FOLDER / f"{name}.lua").read_text("utf-8").partition("\n")
    return "\n".join((flags, *_used("\n".join(_before(name)), body), body))


#: In an order in which each needs only those before it.
DEFINITIONS = ("keys", "tasks", "queue", "deliveries", "runs")
#: Beginnings of the names of scripts that come after the accounts' definitions instead.
ABOUT_ACCOUNTS = ("user_", "session_", "key_")
ALONE = frozenset({"rate", "secret_put", "secret_list"})


def _before(name: str) -> tuple[str, ...]:
    if name in ALONE:
        return ()
    if name.startswith(ABOUT_ACCOUNTS):
        return (_definition("accounts"),)
    return moves(), *(_definition(each) for each in DEFINITIONS)


def _definition(name: str) -> str:
    return (FOLDER / "definitions" / f"{name}.lua").read_text("utf-8")


#: What a line at the left margin begins to define.
_DEFINITION = re.compile(r"^(?:local )?(?:function )?(\w+)(?=\(| = |$)", re.MULTILINE)
_WORD = re.compile(r"\w+")


def _definitions(text: str) -> Iterator[tuple[str, str]]:
    """What `text` defines: name and Lua text, in order, without comments. A name may be declared first."""
    plain = re.sub(r"^--.*\n", "", text, flags=re.MULTILINE)
    starts = [found for found in _DEFINITION.finditer(plain) if found[1] != "end"]
    ends = [*(each.start() for each in starts[1:]), len(plain)]
    for found, end in zip(starts, ends, strict=False):
        yield found[1], plain[found.start() : end].rstrip()


def _used(before: str, body: str) -> list[str]:
    """Of the definitions in `before` those that `body` uses, itself or through others."""
    defined = list(_definitions(before))
    used: set[str] = set()
    wanted = set(_WORD.findall(body))
    while wanted:
        used |= wanted
        found = [text for name, text in defined if name in wanted]
        wanted = {word for text in found for word in _WORD.findall(text)} - used
    return [text for name, text in defined if name in used]


def moves() -> str:
    """Words and tables of tasks/model.py, and the buckets of records.py, as Lua tables."""
    return "\n".join(
        (
            f"local STATUSES = {_list(model.Status)}",
            f"local TYPES = {_list(model.TaskType)}",
            f"local RUN_MOVES = {_table(model.RUN_MOVES)}",
            f"local SCHEDULE_MOVES = {_table(model.SCHEDULE_MOVES)}",
            f"local FINISHED = {_set(model.FINISHED)}",
            f"local ENDED = {_set(model.ENDED)}",
            f"local BUCKETS = {{{', '.join(str(bound) for bound in BUCKETS)}}}",
        )
    )


def _list(words: Iterable[str]) -> str:
    return "{" + ", ".join(f"'{word}'" for word in words) + "}"


def _set(statuses: frozenset[model.Status]) -> str:
    return "{" + ", ".join(f"['{status}'] = true" for status in sorted(statuses)) + "}"


def _table(table: Mapping[model.Status, frozenset[model.Status]]) -> str:
    return "{" + ", ".join(f"['{status}'] = {_set(table[status])}" for status in sorted(table)) + "}"
