"""A child that runs one function of a compiled source and says what came of it."""

# ruff: noqa: S102, S302 - running code is what this module is for; marshalled bytes come from a checker or from here.
from __future__ import annotations

import gc
import marshal

from tasks.sandbox import failure, output, wire
from tasks.sandbox.child import Child
from tasks.sandbox.names import FILENAME
from tasks.sandbox.output import send
from tasks.sandbox.usage import used
from tasks.sandbox.values import NotSerializable, TooLarge, encode, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tasks.sandbox.harden import Hardening
    from tasks.sandbox.namespace import Namespace

#: Address space given back before a failure for lack of memory is told.
RESERVE_BYTES = 4 * 1024 * 1024
#: What is run for practice, as small as can be.
PRACTICE = "def f(x):\n    return x\n"
#: Objects between two collections in user code; what the zygote made is frozen and never looked at.
COLLECT_EVERY = 10_000


class Runner(Child):
    """Its request is marshalled: code, name of the function, args, kwargs, bytes of the result and of the output."""

    def __init__(self, hardening: Hardening, namespace: Namespace) -> None:
        super().__init__(hardening)
        self._globals = namespace.globals
        self._reserve: bytes | None = bytes(RESERVE_BYTES)  # never written to, so of no cost
        code = marshal.dumps(compile(PRACTICE, FILENAME, "exec"))
        self._sample = marshal.dumps((code, "f", ["x"], {}, 1000, 1000))
        self._before = 0.0
        gc.set_threshold(COLLECT_EVERY)

    def sample(self) -> bytes:
        """A request that does what most do."""
        return self._sample

    def warm_up(self) -> None:
        """Run a little."""
        self._run(self._sample, dict(self._globals), _keep)
        self._before, _ = used()

    def rehearse(self, request: bytes) -> None:
        """Run in names of its own."""
        self._run(request, dict(self._globals), send)

    def serve(self, request: bytes) -> None:
        """Run, and say the result or the failure."""
        gc.enable()
        self._run(request, self._globals, send)

    def _run(self, request: bytes, space: dict[str, Any], say: Callable[[bytes, bytes], None]) -> None:
        code, name, args, kwargs, max_result, max_output = marshal.loads(request)
        # One more byte than there may be tells the host that there was more.
        output.stdout.room = output.stderr.room = max_output + 1
        try:
            exec(marshal.loads(code), space)
            if name not in space:  # it stands at top level, but in a branch that was not taken
                raise NameError(f"the code has defined no function {name} when it is called")
            data = encode(space[name](*args, **kwargs), max_result)
        except BaseException as error:  # noqa: BLE001 - whatever the user raised, SystemExit too, is told
            told = report(self._told(error))
            say(wire.FAILURE, self._usage() + told[: wire.MAX_REPORT_BYTES - wire.USAGE.size])
        else:
            say(wire.RESULT, self._usage() + data)

    def _usage(self) -> bytes:
        cpu, peak = used()
        return wire.USAGE.pack(cpu - self._before, peak)

    def _told(self, error: BaseException) -> list[dict[str, Any]]:
        if type(error) is NotSerializable:
            return [_plain("result_not_serializable", f"result{error.path}: {error.reason}.")]
        if type(error) is TooLarge:
            return [_plain("result_too_large", str(error))]
        if isinstance(error, MemoryError):
            self._reserve = None
        # A hostile __str__ may raise or overflow once more; what is told then is the plain fact.
        try:
            return failure.describe(error)
        except BaseException:  # noqa: BLE001 - likewise
            return [_plain("code_raised", "The code raised an exception that cannot be told.")]


def _keep(_: bytes, __: bytes) -> None:
    """Say nothing."""


def _plain(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "frames": [], "left_out": 0}
