"""The sandbox as the service sees it: check a source, run a function, say which layers hold."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tasks.errors import FieldProblem
from tasks.model import Done, Failed, Limits, Outcome
from tasks.report import Report
from tasks.sandbox import inputs, wire
from tasks.sandbox.compiled import Compiled, CompiledSources
from tasks.sandbox.death import Bounds, explain
from tasks.sandbox.host import Host, ReadyChild, SandboxUnavailable
from tasks.sandbox.inputs import CODE, NAME, problem
from tasks.sandbox.problems import not_found
from tasks.sandbox.session import Heard, Session, Violation, parse_json, parse_result
from tasks.sandbox.trace import told_failure
from tasks.sandbox.wire import Budget

__all__ = ["Sandbox", "SandboxUnavailable"]

#: Seconds a source may take to compile.
CHECK_SECONDS = 10.0
#: Seconds after a zygote that cannot contain code before another is tried.
RETRY_SECONDS = 5.0

COMPILED = frozenset({wire.PROBLEMS, wire.CODE, wire.REFUSED})
FINISHED = frozenset({wire.PROBLEMS, wire.RESULT, wire.FAILURE, wire.REFUSED})


class Sandbox:
    """Runs untrusted Python in single-use processes that the kernel holds. Safe to use from several threads.

    `memory_mb` (MiB) and `cpu_seconds` bound each run; `extra_modules` adds reviewed modules that code may import.
    """

    def __init__(self, *, memory_mb: int, cpu_seconds: int, extra_modules: Sequence[str] = ()) -> None:
        """Starts nothing yet."""
        self._budget = Budget(memory_mb, cpu_seconds)
        self._arguments = [str(memory_mb), str(cpu_seconds), *extra_modules]
        #: Sources known so far.
        self.compiled = CompiledSources()
        self._lock = threading.Lock()
        self._host: Host | None = None
        self._tried = 0.0
        self._trouble = ""
        self._closed = False

    # --- Checking

    def check(self, source: str, function_name: str) -> list[FieldProblem]:
        """What keeps `function_name` of `source` from being run; empty if nothing does. Runs none of it."""
        found = inputs.check_source(source)
        found_name = inputs.check_name(function_name)
        if found:
            return found + found_name
        try:
            compiled = self.compiled.get(source) or self._compile(source)
        except SandboxUnavailable as error:
            return [problem(CODE, "sandbox_unavailable", str(error))]
        if compiled.problems:
            return [*compiled.problems, *found_name]
        if not found_name and function_name not in compiled.functions:
            found_name = [problem(NAME, "function_not_found", not_found(function_name, compiled.functions))]
        return found_name

    def _compile(self, source: str) -> Compiled:
        with self.borrow() as child:
            session = Session(child, time.monotonic() + CHECK_SECONDS, None)
            try:
                return self._remember(source, session.ask(("check", source, None), COMPILED))
            except Violation:
                return _too_complex("The code cannot be compiled safely; simplify it.")

    def _remember(self, source: str, heard: Heard) -> Compiled:
        if heard.kind == wire.REFUSED:
            raise SandboxUnavailable(_refusal(heard.payload))
        if heard.kind == wire.PROBLEMS:
            compiled = Compiled(problems=_problems(heard.payload))
        elif heard.kind == wire.CODE:
            compiled = Compiled(functions=_functions(heard.functions), code=heard.payload)
        else:
            # Not kept: it may have been the machine's fault.
            return _too_complex("The code is too complex to compile; split it into smaller parts.")
        self.compiled.keep(source, compiled)
        return compiled

    # --- Running

    def run(
        self,
        *,
        source: str,
        function_name: str,
        args: list[Any],
        kwargs: dict[str, Any],
        limits: Limits,
        report: Report,
        memory_mb: int | None = None,
        cpu_seconds: int | None = None,
    ) -> Outcome:
        """Run the function once and say how it went; output goes to `report` as it comes, and usage when it ended.

        `memory_mb` and `cpu_seconds` lower the sandbox's own bounds for this run; they never raise them.
        """
        started = time.monotonic()
        refused = self._refuse(source, function_name, args, kwargs)
        if refused is not None:
            return refused
        budget = Budget(_lower(memory_mb, self._budget.memory_mb), _lower(cpu_seconds, self._budget.cpu_seconds))
        request = (function_name, args, kwargs, limits.max_result_bytes, report.max_output_bytes)
        try:
            with self.borrow(budget) as child, report.on_stop(child.kill):
                session = Session(child, started + limits.timeout, report, limits.max_result_bytes)
                return self._hear(session, request, source, Bounds(limits.timeout, budget.cpu_seconds), report)
        except SandboxUnavailable as error:
            return Failed(code="sandbox_unavailable", message=str(error), permanent=False)
        finally:
            report.usage["wall"] = round(time.monotonic() - started, 6)

    def _refuse(self, source: str, name: str, args: list[Any], kwargs: dict[str, Any]) -> Failed | None:
        found = inputs.check_source(source) + inputs.check_name(name) + inputs.check_arguments(args, kwargs)
        known = None if found else self.compiled.get(source)
        if known is not None:
            found = list(known.problems)
            if not found and name not in known.functions:
                found = [problem(NAME, "function_not_found", not_found(name, known.functions))]
        return _rejected(found) if found else None

    def _hear(self, session: Session, request: tuple[Any, ...], source: str, bounds: Bounds, report: Report) -> Outcome:
        known = self.compiled.get(source)
        code = (source, None) if known is None else (None, known.code)
        try:
            heard = session.ask(("run", *code, *request), FINISHED)
            if heard.code:
                compiled = Compiled(functions=_functions(heard.functions), code=heard.code)
                self.compiled.keep(source, compiled)
            if heard.kind is None or report.stop_reason is not None:
                return self._died(session, bounds, report)
            return self._answered(heard, source, report)
        except Violation:
            return Failed(code="sandbox_violation", message="The code broke out of its protocol and was killed.")

    def _answered(self, heard: Heard, source: str, report: Report) -> Outcome:
        if heard.kind == wire.REFUSED:
            return Failed(code="sandbox_unavailable", message=_refusal(heard.payload), permanent=False)
        if heard.kind == wire.PROBLEMS:
            compiled = self._remember(source, heard)
            return _rejected(list(compiled.problems))
        if len(heard.payload) < wire.USAGE.size:
            raise Violation
        cpu, peak = wire.USAGE.unpack_from(heard.payload)
        report.usage.update(cpu=round(cpu, 6), peak_memory=peak)
        data = heard.payload[wire.USAGE.size :]
        if heard.kind == wire.RESULT:
            return Done(value=parse_result(data))
        return told_failure(parse_json(data), source)

    def _died(self, session: Session, bounds: Bounds, report: Report) -> Failed:
        session.child.kill()
        host = self._host
        ended = host.how_ended(session.child) if host is not None else None
        if ended is not None:
            report.usage.update(cpu=round(ended.cpu, 6), peak_memory=ended.peak_memory)
        if report.stop_reason is not None:
            return Failed(code="stopped", message="The run was stopped.")
        return explain(ended, bounds, late=session.late)

    # --- The zygote

    @contextlib.contextmanager
    def borrow(self, budget: Budget | None = None) -> Iterator[ReadyChild]:
        """A hardened child for as long as the block lasts; it is killed afterwards. Raises SandboxUnavailable."""
        host, child, from_stock = self._take(None if budget == self._budget else budget)
        try:
            yield child
        finally:
            child.end()
            if from_stock:
                host.refill()

    def _take(self, budget: Budget | None) -> tuple[Host, ReadyChild, bool]:
        host = self._living_host()
        try:
            return host, *host.take(budget)
        except SandboxUnavailable:
            if not host.gone:
                raise
            host = self._living_host()  # a new one: the zygote may have died since the last run
            return host, *host.take(budget)

    def _living_host(self) -> Host:
        host = self._host
        if host is not None and not host.gone:
            return host
        with self._lock:
            if self._closed:
                raise SandboxUnavailable("The sandbox is closed.")
            if self._host is None or self._host.gone:
                self._host = self._new_host(self._host)
            return self._host

    def _new_host(self, old: Host | None) -> Host:
        if old is not None:
            old.close()
            self._host = None
        if self._trouble and time.monotonic() - self._tried < RETRY_SECONDS:
            raise SandboxUnavailable(self._trouble)
        self._tried = time.monotonic()
        try:
            host = Host(self._arguments)
            if not host.hello["available"]:
                host.close()
                raise SandboxUnavailable(f"Code cannot be contained here: {host.hello['reason']}.")
        except SandboxUnavailable as error:
            self._trouble = str(error)
            raise
        except OSError as error:
            self._trouble = f"The sandbox's process cannot be started ({error.strerror})."
            raise SandboxUnavailable(self._trouble) from None
        self._trouble = ""
        return host

    def layers(self) -> dict[str, Any]:
        """Whether code can run here, why not, and which layers of containment are in force; JSON data."""
        try:
            host = self._living_host()
        except SandboxUnavailable as error:
            return {"available": False, "reason": str(error), "layers": {}}
        return dict(host.hello)

    def prestart(self) -> None:
        """Start the zygote and its children now; where that cannot be, the first use says so."""
        with contextlib.suppress(SandboxUnavailable):
            self._living_host()

    def close(self) -> None:
        """End every process of this sandbox. Runs that still go on end as lost; nothing can be run any more."""
        with self._lock:
            self._closed = True
            if self._host is not None:
                self._host.close()
                self._host = None


def _lower(wanted: int | None, most: int) -> int:
    return most if wanted is None else min(wanted, most)


def _too_complex(message: str) -> Compiled:
    return Compiled(problems=(problem(CODE, "code_too_complex", message, 1, 1),))


def _rejected(found: list[FieldProblem]) -> Failed:
    first = found[0]
    where = f"line {first.line}: " if first.line is not None else ""
    return Failed(code="code_rejected", message=where + first.message, line=first.line, value=None)


def _refusal(payload: bytes) -> str:
    return f"Code cannot be contained here: {payload.decode('utf-8', 'replace')[:500]}."


def _problems(payload: bytes) -> tuple[FieldProblem, ...]:
    try:
        found = tuple(
            problem(CODE, str(code)[:80], str(message)[:1000], int(line), int(column))
            for code, message, line, column in parse_json(payload)
        )
    except (TypeError, ValueError):
        raise Violation from None
    if not found:
        raise Violation
    return found


def _functions(payload: bytes) -> frozenset[str]:
    names = parse_json(payload)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Violation
    return frozenset(names)
