"""Proves on this machine what the sandbox claims: each row is a layer, whether it holds, and how that was found out."""

from __future__ import annotations

import marshal
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tasks.model import Done, Failed, Limits, Outcome
from tasks.report import Report
from tasks.sandbox.client import Sandbox
from tasks.sandbox.compiled import Compiled

#: The clock is for what goes wrong: on a machine with much else to do, a second of processor time takes long.
LIMITS = Limits(timeout=120, max_result_bytes=1000)
MEMORY_MB = 64
CPU_SECONDS = 1


class Row(NamedTuple):
    """One line of the table."""

    layer: str
    #: None: not there, and not needed for code to be run.
    holds: bool | None
    how: str


def _run(sandbox: Sandbox, body: str, *, raw: bool) -> Outcome:
    source = f"def f():\n    {body}\n"
    if raw:
        # Past the language layer: compiled here as plain Python and put where a child's compiled code is kept.
        source += "# raw\n"
        code = marshal.dumps(compile(source, "<raw>", "exec"))
        sandbox.compiled.keep(source, Compiled(functions=frozenset({"f"}), code=code))
    return sandbox.run(source=source, function_name="f", args=[], kwargs={}, limits=LIMITS, report=Report(1000))


def _ended(outcome: Outcome, code: str) -> bool:
    return isinstance(outcome, Failed) and outcome.code == code


REFUSED = "import os\n    try: {attempt}\n    except PermissionError: return 'refused'"

#: Name of the layer, code that tries it without the language layer, and what must come of it.
PROBES: tuple[tuple[str, str, str, str], ...] = (
    ("seccomp: network", "import _socket; _socket.socket()", "sandbox_violation", "socket() was answered with death"),
    ("seccomp: processes", "import os; os.fork()", "sandbox_violation", "fork() was answered with death"),
    (
        "seccomp: memory",
        "import ctypes; ctypes.CDLL(None).mmap(None, ctypes.c_size_t(4096), 5, 0x22, -1, 0)",
        "sandbox_violation",
        "executable memory was answered with death",
    ),
    ("seccomp: descriptors", "import os; os.write(1, b'x')", "sandbox_violation", "write(1) was answered with death"),
    ("seccomp: files", REFUSED.format(attempt="os.listdir('/')"), "refused", "listing / was refused"),
    ("rlimit: memory", f"return len(bytearray({MEMORY_MB + 1} << 20))", "memory_limit", "one MiB too many was refused"),
    ("rlimit: processor", "while True: pass", "cpu_limit", f"a loop was ended after {CPU_SECONDS} s of processor time"),
)


def _probes(sandbox: Sandbox) -> list[Row]:
    rows = []
    for layer, body, expected, how in PROBES:
        outcome = _run(sandbox, body, raw=True)
        holds = _ended(outcome, expected) or outcome == Done(value=expected)
        rows.append(Row(layer, holds, how if holds else f"got {outcome}"))
    return rows


def _proc_status(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    return dict(re.findall(r"^(\w+):\s*(\S+)", text, re.MULTILINE))


def _status(sandbox: Sandbox) -> list[Row]:
    """What the kernel says of a ready child (proc(5), /proc/pid/status)."""
    ours = _filters(_proc_status(os.getpid()))
    with sandbox.borrow() as child:
        rows = _told(_proc_status(child.pid), ours)
        for _ in range(200):  # it may still be hardening itself; it reads no request before it has
            if all(row.holds for row in rows):
                break
            time.sleep(0.01)
            rows = _told(_proc_status(child.pid), ours)
    return rows


def _filters(status: dict[str, str]) -> int:
    # Before Linux 5.9 /proc told only whether there is any.
    return int(status.get("Seccomp_filters", int(status.get("Seccomp") == "2")))


def _told(found: dict[str, str], ours: int) -> list[Row]:
    filters = _filters(found)
    own_filter = filters > (ours if "Seccomp_filters" in found else 0)
    return [
        Row("seccomp: filter", own_filter, f"/proc says Seccomp: {found.get('Seccomp')}, filters: {filters}"),
        Row("no_new_privs", found.get("NoNewPrivs") == "1", f"/proc says NoNewPrivs: {found.get('NoNewPrivs')}"),
        Row("no capabilities", int(found.get("CapEff", "1"), 16) == 0, f"/proc says CapEff: {found.get('CapEff')}"),
        Row("ordinary user", found.get("Uid") != "0", f"/proc says Uid: {found.get('Uid')}"),
    ]


def _best_effort(sandbox: Sandbox) -> list[Row]:
    abi = sandbox.layers()["layers"].get("landlock")
    return [
        Row("Landlock", bool(abi) or None, f"the kernel took the ruleset, ABI {abi}" if abi else "not in this kernel")
    ]


def _language(sandbox: Sandbox) -> list[Row]:
    problems = sandbox.check("import os\ndef f():\n    return os", "f")
    holds = bool(problems) and problems[0].code == "import_not_allowed"
    honest = _run(sandbox, 'return "Hello World!"', raw=False)
    return [
        Row("language layer", holds, "import os was refused before anything ran" if holds else f"got {problems}"),
        Row(
            "honest code",
            honest == Done(value="Hello World!"),
            "Hello World! came back" if honest == Done(value="Hello World!") else f"got {honest}",
        ),
    ]


def self_test(show: Callable[[str], None]) -> bool:
    """Show the table, line by line; True where code can be run safely here."""
    sandbox = Sandbox(memory_mb=MEMORY_MB, cpu_seconds=CPU_SECONDS)
    try:
        state = sandbox.layers()
        if not state["available"]:
            show(state["reason"])
            return False
        rows = [*_status(sandbox), *_probes(sandbox), *_best_effort(sandbox), *_language(sandbox)]
    finally:
        sandbox.close()
    width = max(len(row.layer) for row in rows)
    show(f"{'layer':<{width}}  in force  how tested")
    for row in rows:
        word = "no" if row.holds is None else "yes" if row.holds else "NO"
        show(f"{row.layer:<{width}}  {word:<8}  {row.how}")
    return all(row.holds is not False for row in rows)
