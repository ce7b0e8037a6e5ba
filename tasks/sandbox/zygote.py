"""A zygote: a small process, started by exec, that forks the children. It lives as long as its control socket.

It knows nothing of the service: no setting, no secret and no descriptor besides the control socket ever reaches it.
There is one whose children compile and one whose children run, because a fork and the end of a child cost by what is
loaded, and the compiler is a third of it. For the same reason neither imports typing, socket, signal or contextlib.
"""

from __future__ import annotations

import _socket
import gc
import json
import os
import struct
import sys
import time

from tasks.sandbox import output, wire
from tasks.sandbox.facades import UnknownModule
from tasks.sandbox.forking import fork
from tasks.sandbox.harden import Hardening, HardeningFailed
from tasks.sandbox.namespace import Namespace
from tasks.sandbox.usage import wait
from tasks.sandbox.wire import Budget

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from tasks.sandbox.child import Child

#: A descriptor, and two, as they travel (unix(7), SCM_RIGHTS).
ONE, TWO = struct.Struct("i"), struct.Struct("ii")
SIGKILL = 9  # signal(7)

CODECS = (
    *("ascii", "cp1252", "gb18030", "gbk", "idna", "latin_1", "punycode", "unicode_escape", "utf_8_sig"),
    *("utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le"),
)
#: Imported by C code or codecs on first use, which a child could not do: by strptime, by Counter.most_common, by names
#: and escapes beyond ASCII, by text of other encodings.
PRELOADED = ("_strptime", "heapq", "locale", "unicodedata", *(f"encodings.{name}" for name in CODECS))


class Zygote:
    """Answers requests on `control` and reaps what it forked."""

    def __init__(self, control: _socket.socket, child: Child, in_a_row: int) -> None:
        self._control = control
        self._child = child
        self._serial = 0
        self._living: dict[int, int] = {}  # serial → pid
        self._in_a_row = in_a_row
        self._wanted = 0

    def live(self) -> None:
        """Returns when the host is gone or has closed the control socket."""
        while self._answer():
            pass

    def _answer(self) -> bool:
        try:
            data, ancillary, _, _ = self._control.recvmsg(wire.MAX_ORDER, _socket.CMSG_SPACE(ONE.size))
        except ConnectionError:
            return False
        if not data:
            return False
        verb = data[:1]
        if verb == wire.END:
            _, serial, again = wire.DONE_WITH.unpack(data)
            self._done_with(serial, again)
        elif verb == wire.FORK:
            self._fork(data[1], self._control)
        elif ancillary:
            asker = _socket.socket(fileno=ONE.unpack(ancillary[0][2])[0])
            try:
                self._serve(verb, data, asker)
            except OSError:
                pass  # whoever asked may have given up
            finally:
                asker.close()
        return True

    def _serve(self, verb: bytes, data: bytes, asker: _socket.socket) -> None:
        if verb == wire.FORK_LIMITED:
            self._fork(1, asker, Budget(*wire.LIMITED.unpack(data)[1:]))
        elif verb == wire.STATUS:
            ended = self._reap(wire.SERIAL.unpack(data)[1])
            if ended is not None:
                asker.send(ended)

    def _fork(self, count: int, asker: _socket.socket, budget: Budget | None = None) -> None:
        """New children, whose channels and pidfds are sent to `asker`."""
        made = []
        for host_end, child_end in [_socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM) for _ in range(count)]:
            try:
                pid = fork()
            except OSError:
                pid = -1
            if pid == 0:
                self._child.live(child_end.fileno(), budget)
            made.append((pid, host_end, child_end))
        for pid, host_end, child_end in made:
            child_end.close()
            self._hand_over(pid, host_end, asker)
            host_end.close()

    def _hand_over(self, pid: int, host_end: _socket.socket, asker: _socket.socket) -> None:
        self._serial += 1
        if pid < 0:
            asker.send(wire.SERIAL.pack(wire.NO_CHILD, self._serial))
            return
        self._living[self._serial] = pid
        pidfd = os.pidfd_open(pid)
        try:
            rights = TWO.pack(host_end.fileno(), pidfd)
            packet = wire.SERIAL.pack(wire.CHILD, self._serial)
            asker.sendmsg([packet], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
        finally:
            os.close(pidfd)

    def _done_with(self, serial: int, again: bool) -> None:
        self._wanted += again
        if self._wanted >= self._in_a_row:
            wanted, self._wanted = self._wanted, 0
            self._fork(wanted, self._control)
        self._reap(serial)  # at last: it may take a moment to end

    def _reap(self, serial: int) -> bytes | None:
        """How a child ended that the host has killed; None where nobody can tell any more."""
        pid = self._living.pop(serial, None)
        return None if pid is None else wait(pid)

    def end(self) -> None:
        """Kill and reap every child."""
        for pid in self._living.values():
            os.kill(pid, SIGKILL)  # not reaped yet, so it is no other's
        for pid in self._living.values():
            os.waitpid(pid, 0)
        self._living.clear()


def _prepare(kind: str, budget: Budget, extra_modules: Sequence[str]) -> Child:
    namespace = Namespace(extra_modules)
    for name in PRELOADED:
        __import__(name)
    time.localtime()
    if kind == wire.COMPILE:
        from tasks.sandbox.checker import Checker

        return Checker(Hardening(budget), namespace)
    from tasks.sandbox.runner import Runner

    return Runner(Hardening(budget), namespace)


def _probe(child: Child) -> dict[str, Any]:
    """Harden one child for trial and hear from it which layers are in force."""
    reading, writing = os.pipe()
    pid = fork()
    if pid == 0:
        child.try_layers(writing)
    os.close(writing)
    said = b""
    while part := os.read(reading, 4096):
        said += part
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    if not said:
        return {"available": False, "reason": f"a child ended with status {status} while it was hardened", "layers": {}}
    found: dict[str, Any] = json.loads(said)
    return found


def _hello(kind: str, budget: Budget, extra_modules: Sequence[str]) -> tuple[dict[str, Any], Child | None]:
    try:
        child = _prepare(kind, budget, extra_modules)
        return _probe(child), child
    except (UnknownModule, HardeningFailed, ImportError, OSError) as error:
        return {"available": False, "reason": str(error), "layers": {}}, None


def _be_first_victim() -> None:
    # Inherited by the children: when memory runs out, the kernel takes a run and not the service (proc(5)).
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:  # noqa: PTH123
            score.write("800")
    except OSError:
        pass


def main(arguments: Sequence[str]) -> None:
    """Runs a zygote: descriptor of the control socket, kind of children, MiB, CPU seconds, extra modules."""
    control = _socket.socket(fileno=int(arguments[0]))
    gc.disable()
    # Only the dynamic linker of this process was to know it.
    os.environ.pop("LD_BIND_NOW", None)
    _be_first_victim()
    hello, child = _hello(arguments[1], Budget(int(arguments[2]), int(arguments[3])), arguments[4:])
    control.send(wire.HELLO + json.dumps(hello).encode())
    if child is None or not hello["available"]:
        return
    sys.stdout, sys.stderr = output.stdout, output.stderr
    child.practise()
    gc.collect()
    gc.freeze()
    zygote = Zygote(control, child, wire.IN_A_ROW[arguments[1]])
    try:
        zygote.live()
    finally:
        zygote.end()
