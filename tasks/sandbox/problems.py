"""What the policy has to say: one problem of a source, and the advice that goes with the usual ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Problem(NamedTuple):
    """One thing in a source that is not allowed; line and column count from 1."""

    code: str
    message: str
    line: int
    column: int


#: Most problems that are reported of one source.
MAX_PROBLEMS = 100

_FILES = "a task cannot reach files; pass the data as arguments"
_NETWORK = "code cannot reach the network; submit a task with api_url to make a request"
_PROCESS = "a task cannot reach the system; return a value instead"
_TIME = "use datetime for the time; to wait, submit a delayed task"
_SCOPE = "name the variables that you need, or keep them in a dict"
_TEXT = "write the code itself instead of text that holds code"

_MODULES = {
    "os": _PROCESS,
    "sys": _PROCESS,
    "subprocess": _PROCESS,
    "shutil": _FILES,
    "pathlib": _FILES,
    "io": _FILES,
    "tempfile": _FILES,
    "pickle": "use json",
    "marshal": "use json",
    "time": _TIME,
    "sched": _TIME,
    "socket": _NETWORK,
    "urllib": _NETWORK,
    "http": _NETWORK,
    "requests": _NETWORK,
    "threading": "submit several tasks to work in parallel",
    "multiprocessing": "submit several tasks to work in parallel",
    "asyncio": "submit several tasks to work in parallel",
    "secrets": "use random",
}

_NAMES = {
    "open": _FILES,
    "eval": _TEXT,
    "exec": _TEXT,
    "compile": _TEXT,
    "globals": _SCOPE,
    "locals": _SCOPE,
    "vars": _SCOPE,
    "dir": _SCOPE,
    "memoryview": "use bytes or bytearray",
    "exit": "use return or raise an exception",
    "quit": "use return or raise an exception",
    "breakpoint": "use print to follow what happens",
    "help": "use print to follow what happens",
}


def instead_of_import(module: str, allowed: Iterable[str]) -> str:
    """Why `module` cannot be imported and what to do instead."""
    top = module.partition(".")[0]
    advice = _MODULES.get(top)
    if advice is None:
        advice = "use one of " + ", ".join(sorted(name for name in allowed if "." not in name))
    return f"Importing {module[:80] or 'a relative module'} is not allowed; {advice}."


def instead_of_name(name: str) -> str:
    """Why the builtin `name` cannot be used and what to do instead."""
    if name in _MODULES:
        return f"{name} is not available; {_MODULES[name]}."
    return f"{name} is not allowed; {_NAMES.get(name, 'leave it out')}."


def not_found(function: str, defined: Iterable[str]) -> str:
    """What to say where the source defines no `function` at top level, but those in `defined`."""
    known = ", ".join(sorted(defined)[:10])
    return f"The code defines no function {function} at top level; " + (f"it defines {known}." if known else "add one.")
