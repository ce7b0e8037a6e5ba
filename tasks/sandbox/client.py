"""The sandbox as the service sees it: check a source, run a function, say which layers hold."""

from __future__ import annotations

import contextlib
import marshal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from tasks.errors import FieldProblem
from tasks.model import Done, Failed, Limits, Outcome
from tasks.report import Report
from tasks.sandbox import inputs, wire
from tasks.sandbox.compiled import Compiled, CompiledSources
from tasks.sandbox.death import LOST, Bounds, explain
from tasks.sandbox.host import ReadyChild, SandboxUnavailable
from tasks.sandbox.inputs import CODE, NAME, problem
from tasks.sandbox.problems import MAX_PROBLEMS, not_found
from tasks.sandbox.session import Heard, Session, Violation, parse_json, parse_result, parse_usage
from tasks.sandbox.supply import Supply
from tasks.sandbox.trace import told_failure
from tasks.sandbox.wire import Budget

__all__ = ["Sandbox", "SandboxUnavailable"]

T = TypeVar("T")
#: Seconds a source may take to compile.
CHECK_SECONDS = 10.0
#: Seconds of processor time that it may take; the longest sources take half of one.
CHECK_CPU_SECONDS = 5
#: Seconds after which a source is one that takes long, and how many of these one process checks at a time: each may
#: take as much memory as a run.
QUICK_SECONDS, SLOW_CHECKS = 1.0, 8
#: Seconds within which the children of a zygote that was killed are dead, on a machine with much else to do.
SOON = 5.0

COMPILED = frozenset({wire.PROBLEMS, wire.CODE, wire.REFUSED})
#: Lines and columns are not beyond the end of the source, nor is the place after its last character.
MAX_PLACE = inputs.MAX_SOURCE_BYTES + 1
FINISHED = frozenset({wire.RESULT, wire.FAILURE, wire.REFUSED})


class Sandbox:
    """Runs untrusted Python in single-use processes that the kernel holds. Safe to use from several threads.

    `memory_mb` (MiB) and `cpu_seconds` bound each run; `extra_modules` adds reviewed modules that code may import.
    """

    def __init__(self, *, memory_mb: int, cpu_seconds: int, extra_modules: Sequence[str] = ()) -> None:
        """Starts nothing yet."""
        self._budget = Budget(memory_mb, cpu_seconds)
        self._check_cpu = min(cpu_seconds, CHECK_CPU_SECONDS)
        self._checkers = Supply(wire.COMPILE, Budget(memory_mb, self._check_cpu), extra_modules)
        self._slow_checks = threading.BoundedSemaphore(SLOW_CHECKS)
        self._runners = Supply(wire.RUN, self._budget, extra_modules)
        #: Sources known so far.
        self.compiled = CompiledSources()

    # --- Checking

    def knows(self, source: str) -> bool:
        """Whether `check` need ask nobody."""
        return self.compiled.get(source) is not None

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
        if found_name:
            return [*compiled.problems, *found_name]
        return _missing(function_name, compiled)

    def _compile(self, source: str) -> Compiled:
        leash = Leash(time.monotonic() + CHECK_SECONDS, Bounds(CHECK_SECONDS, self._check_cpu), Report(0))
        try:
            compiled = _once_more_if_lost(lambda: self._compile_in_turn(source, leash), leash.report)
        except Violation:
            return _too_complex("The code cannot be compiled safely; simplify it.")
        if isinstance(compiled, Compiled):
            return compiled
        if not compiled.permanent:  # the machine's fault: the process was lost, or killed for lack of memory
            raise SandboxUnavailable(compiled.message)
        return _too_complex("The code is too complex to compile; split it into smaller parts.")

    def _compile_in_turn(self, source: str, leash: Leash) -> Compiled | Failed:
        """Sources that take long are few at a time, and none keeps another waiting. Raises as `_compile_for_run`."""
        with self._checkers.borrow() as child:
            session = Session(child, time.monotonic() + QUICK_SECONDS, None)
            heard = session.ask(source.encode(), COMPILED)
            if session.late:
                if not self._slow_checks.acquire(blocking=False):
                    raise SandboxUnavailable("Too many sources that take long are being checked now; try again.")
                try:
                    heard = session.hear(COMPILED, leash.until)
                finally:
                    self._slow_checks.release()
            return self._learn(source, heard) or _died(session, leash)

    def _learn(self, source: str, heard: Heard) -> Compiled | None:
        """What a child has said of `source`, which is kept; None if it died over it. Raises Violation."""
        if heard.kind is None:
            return None
        if heard.kind == wire.REFUSED:
            raise SandboxUnavailable(_refusal(heard.payload))
        if heard.kind == wire.PROBLEMS:
            compiled = Compiled(problems=_problems(heard.payload))
        else:
            compiled = Compiled(functions=_functions(heard.functions), code=heard.payload)
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
        found = [*inputs.check_source(source), *inputs.check_name(function_name)]
        found += inputs.check_arguments(args, kwargs)
        if found:
            return _rejected(found)
        budget = Budget(_lower(memory_mb, self._budget.memory_mb), _lower(cpu_seconds, self._budget.cpu_seconds))
        leash = Leash(started + limits.timeout, Bounds(limits.timeout, budget.cpu_seconds), report)
        try:
            compiled = self.compiled.get(source) or self._compile_for_run(source, leash)
            if isinstance(compiled, Failed):
                return compiled
            found = _missing(function_name, compiled)
            if found:
                return _rejected(found)
            request = (compiled.code, function_name, args, kwargs, limits.max_result_bytes, report.max_output_bytes)
            order = Order(marshal.dumps(request), source, limits.max_result_bytes, budget)
            return _once_more_if_lost(lambda: self._have_done(order, leash), report)
        except Violation:
            return Failed(code="sandbox_violation", message="The code broke out of its protocol and was killed.")
        except SandboxUnavailable as error:
            return Failed(code="sandbox_unavailable", message=str(error), permanent=False)
        finally:
            report.usage["wall"] = round(time.monotonic() - started, 6)

    def _have_done(self, order: Order, leash: Leash) -> Outcome:
        """Raises Violation and SandboxUnavailable."""
        with self._runners.borrow(order.budget) as child, leash.report.on_stop(child.kill):
            session = Session(child, leash.until, leash.report, order.max_result_bytes)
            heard = session.ask(order.request, FINISHED)
            if heard.kind is None or leash.report.stop_reason is not None:
                return _died(session, leash)
            return _answered(heard, order.source, leash.report, order.budget.cpu_seconds)

    def _compile_for_run(self, source: str, leash: Leash) -> Compiled | Failed:
        """Raises Violation and SandboxUnavailable."""
        leash = leash._replace(bounds=leash.bounds._replace(cpu_seconds=self._check_cpu))
        return _once_more_if_lost(lambda: self._compile_once(source, leash), leash.report)

    def _compile_once(self, source: str, leash: Leash) -> Compiled | Failed:
        with self._checkers.borrow() as child, leash.report.on_stop(child.kill):
            session = Session(child, leash.until, None)
            compiled = self._learn(source, session.ask(source.encode(), COMPILED))
            if compiled is None or leash.report.stop_reason is not None:
                return _died(session, leash)
            return compiled

    # --- The zygotes

    def borrow(self) -> contextlib.AbstractContextManager[ReadyChild]:
        """A child that could run code, for as long as the block lasts. Raises SandboxUnavailable."""
        return self._runners.borrow()

    def layers(self) -> dict[str, Any]:
        """Whether code can run here, why not, and which layers of containment are in force; JSON data."""
        return self._checkers.layers()

    def prestart(self, *, runs: bool) -> None:
        """Start the processes that check sources now, and those that run them where `runs`.

        Where that cannot be, the first use says so.
        """
        if runs:
            self._runners.prestart()
        self._checkers.prestart()

    def close(self) -> None:
        """End every process of this sandbox. Runs that still go on end as lost; nothing can be run any more."""
        self._checkers.close()
        self._runners.close()


class Order(NamedTuple):
    """What a child is to do."""

    #: Marshalled, as a runner reads it.
    request: bytes
    source: str
    max_result_bytes: int
    budget: Budget


class Leash(NamedTuple):
    """What one run is held to."""

    #: A moment of time.monotonic().
    until: float
    bounds: Bounds
    report: Report


def _once_more_if_lost(attempt: Callable[[], T], report: Report) -> T:
    """What `attempt` comes to; made twice where a child was taken that was about to die with its zygote.

    Whoever kills a zygote ends its children a moment later, so that one of them may be given out meanwhile. Code does
    nothing that nobody hears of: what has said nothing yet can be done again.
    """
    began = time.monotonic()
    outcome = attempt()
    if outcome is not LOST or time.monotonic() - began > SOON or report.stdout or report.stderr:
        return outcome
    return attempt()


def _answered(heard: Heard, source: str, report: Report, cpu_seconds: int) -> Outcome:
    if heard.kind == wire.REFUSED:
        return Failed(code="sandbox_unavailable", message=_refusal(heard.payload), permanent=False)
    report.usage.update(parse_usage(heard.payload, cpu_seconds))
    data = heard.payload[wire.USAGE.size :]
    if heard.kind == wire.RESULT:
        return Done(value=parse_result(data))
    return told_failure(parse_json(data), source)


def _died(session: Session, leash: Leash) -> Failed:
    session.child.kill()
    ended = session.child.how_ended()
    if ended is not None:
        leash.report.usage.update(cpu=round(ended.cpu, 6), peak_memory=ended.peak_memory)
    if leash.report.stop_reason is not None:
        return Failed(code="stopped", message="The run was stopped.")
    return explain(ended, leash.bounds, late=session.late)


def _lower(wanted: int | None, most: int) -> int:
    return most if wanted is None else min(wanted, most)


def _missing(name: str, compiled: Compiled) -> list[FieldProblem]:
    """What keeps the function of that name from being run, as far as the source says."""
    if compiled.problems:
        return list(compiled.problems)
    if name not in compiled.functions:
        return [problem(NAME, "function_not_found", not_found(name, compiled.functions))]
    return []


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
        found = [(code, message, line, column) for code, message, line, column in parse_json(payload)]
    except (TypeError, ValueError):
        raise Violation from None
    if not 0 < len(found) <= MAX_PROBLEMS:
        raise Violation
    for code, message, line, column in found:
        places = type(line) is type(column) is int and 0 <= line <= MAX_PLACE and 0 <= column <= MAX_PLACE
        if not (isinstance(code, str) and isinstance(message, str) and places):
            raise Violation
    return tuple(problem(CODE, code[:80], message[:1000], line, column) for code, message, line, column in found)


def _functions(payload: bytes) -> frozenset[str]:
    names = parse_json(payload)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Violation
    return frozenset(names)
