"""The life of one child: harden, wait for the one request, do it, end. Everything here runs after the fork."""

# ruff: noqa: S102, S302 - running code is what this module is for; marshalled bytes come from the host or from here.
from __future__ import annotations

import gc
import json
import marshal
import mmap
import os
import resource
import sys
import time
from typing import Any, NoReturn

from tasks.sandbox import failure, output, wire
from tasks.sandbox.compiler import Compiler
from tasks.sandbox.harden import Hardening, HardeningFailed, guarded
from tasks.sandbox.namespace import Namespace
from tasks.sandbox.output import send
from tasks.sandbox.problems import MAX_PROBLEMS, not_found
from tasks.sandbox.seccomp import CHANNEL
from tasks.sandbox.values import NotSerializable, TooLarge, encode, report
from tasks.sandbox.wire import Budget

#: Address space given back before a failure for lack of memory is told.
RESERVE_BYTES = 4 * 1024 * 1024
#: What every child runs once for practice, as small as can be.
PRACTICE = "def f(x):\n    return [x]\n"
#: How often the zygote practises: enough for the interpreter to have specialised its own code (PEP 659).
ROUNDS = 40
#: Objects between two collections in user code; what the zygote made is frozen and never looked at.
COLLECT_EVERY = 10_000


class Child:
    """Prepared once in the zygote, used once in each child."""

    def __init__(self, hardening: Hardening, namespace: Namespace) -> None:
        self._hardening = hardening
        self._namespace = namespace
        self._compiler = Compiler(namespace.exports, namespace.builtin_names)
        self._reserve = mmap.mmap(-1, RESERVE_BYTES)
        self._started = 0.0
        self._warm_code = marshal.dumps(self._compiler.compile(PRACTICE)[0])

    def settle(self) -> None:
        """In the zygote: let caches fill and code specialise now, so that children need not copy those pages."""
        for _ in range(ROUNDS):
            self._warm_up()
            self._compiler.compile(PRACTICE)

    def live(self, channel: int, budget: Budget | None = None) -> NoReturn:
        """Never returns."""
        try:
            try:
                self._hardening.apply(channel, budget)
            except (HardeningFailed, OSError) as error:
                _refuse(channel, str(error))
                os._exit(1)
            sys.stdout, sys.stderr = output.stdout, output.stderr
            self._warm_up()
            self._serve(marshal.loads(_read_request()))
        finally:
            os._exit(0)

    def try_layers(self, channel: int) -> NoReturn:
        """Harden for trial, tell the outcome as JSON and end."""
        layers, reason = guarded(lambda: self._hardening.apply(channel))
        told = {"available": reason is None, "reason": reason, "layers": layers}
        _write(channel, json.dumps(told).encode())
        os._exit(0)

    def _warm_up(self) -> None:
        """Touch what every run touches while nobody waits: the copies of shared pages are made here."""
        namespace = dict(self._namespace.globals)
        exec(marshal.loads(self._warm_code), namespace)
        encode(namespace["f"]("x"), 100)
        report({"code": "x", "frames": [(1, "x")]})
        marshal.loads(marshal.dumps(("run", None, b"", "f", ["x"], {}, 1, 1)))
        self._usage()

    def _serve(self, request: tuple[Any, ...]) -> None:
        verb, source, code, *work = request
        self._started = time.process_time()
        if code is None:
            compiled, functions = self._compile(source)
            if compiled is None or verb == "check":
                return
            if work[0] not in functions:
                self._fail([_plain("code_rejected", not_found(work[0], functions))])
                return
            self._run(compiled, *work)
        else:
            self._run(marshal.loads(code), *work)

    def _compile(self, source: str) -> tuple[Any, list[str]]:
        code, functions, problems = self._compiler.compile(source)
        if code is None:
            told = [tuple(problem) for problem in problems[:MAX_PROBLEMS]]
            send(wire.PROBLEMS, json.dumps(told).encode())
            return None, functions
        send(wire.FUNCTIONS, json.dumps(functions).encode())
        send(wire.CODE, marshal.dumps(code))
        return code, functions

    def _run(
        self, code: Any, name: str, args: list[Any], kwargs: dict[str, Any], max_result: int, max_output: int
    ) -> None:
        output.stdout.open(max_output)
        output.stderr.open(max_output)
        namespace = self._namespace.globals
        gc.set_threshold(COLLECT_EVERY)
        gc.enable()
        try:
            exec(code, namespace)
            data = encode(namespace[name](*args, **kwargs), max_result)
        except NotSerializable as error:
            self._fail([_plain("result_not_serializable", f"result{error.path}: {error.reason}.")])
        except TooLarge as error:
            self._fail([_plain("result_too_large", str(error))])
        except BaseException as error:  # noqa: BLE001 - whatever the user raised, SystemExit too, is told
            self._raised(error)
        else:
            send(wire.RESULT, self._usage() + data)

    def _raised(self, error: BaseException) -> None:
        if isinstance(error, MemoryError):
            self._reserve.close()
        # A hostile __str__ may raise or overflow once more; what is told then is the plain fact.
        try:
            told = failure.describe(error)
        except BaseException:  # noqa: BLE001 - likewise
            told = [_plain("code_raised", "The code raised an exception that cannot be told.")]
        self._fail(told)

    def _fail(self, told: list[dict[str, Any]]) -> None:
        send(wire.FAILURE, self._usage() + report(told)[: wire.MAX_REPORT_BYTES - wire.USAGE.size])

    def _usage(self) -> bytes:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return wire.USAGE.pack(time.process_time() - self._started, peak)


def _plain(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "frames": [], "left_out": 0}


def _refuse(channel: int, reason: str) -> None:
    payload = reason.encode()[:1000]
    _write(channel, wire.FRAME.pack(wire.REFUSED, len(payload)) + payload)


def _write(channel: int, data: bytes) -> None:
    # Hardening makes the channel descriptor 0; where it failed early the channel is still what it was.
    try:
        os.write(CHANNEL if channel_moved(channel) else channel, data)
    except OSError:
        os._exit(1)


def channel_moved(channel: int) -> bool:
    """Whether hardening has closed `channel`, leaving descriptor 0."""
    try:
        os.fstat(channel)
    except OSError:
        return True
    return False


def _read(size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = os.read(CHANNEL, min(size, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _read_request() -> bytes:
    (size,) = wire.REQUEST.unpack(_read(wire.REQUEST.size))
    return _read(size)
