"""The zygote: a small process, started by exec, that forks the children. It lives as long as its control socket.

It knows nothing of the service: no setting, no secret and no descriptor besides the control socket ever reaches it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from tasks.sandbox import wire
from tasks.sandbox.child import Child
from tasks.sandbox.facades import UnknownModule
from tasks.sandbox.forking import fork
from tasks.sandbox.harden import Hardening, HardeningFailed
from tasks.sandbox.namespace import Namespace
from tasks.sandbox.wire import Budget

#: Ends of children that nobody has asked about yet.
MAX_ENDED = 1024
CODECS = (
    *("ascii", "cp1252", "gb18030", "gbk", "idna", "latin_1", "punycode", "unicode_escape", "utf_8_sig"),
    *("utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le"),
)
#: Imported by C code or codecs on first use, which a child could not do: by strptime, by Counter.most_common, by names
#: and escapes beyond ASCII, by text of other encodings.
PRELOADED = ("_strptime", "heapq", "locale", "unicodedata", *(f"encodings.{name}" for name in CODECS))


class Zygote:
    """Answers requests on `control` and reaps what it forked."""

    def __init__(self, control: socket.socket, child: Child) -> None:
        self._control = control
        self._child = child
        self._epoll = select.epoll()
        self._epoll.register(control.fileno(), select.EPOLLIN)
        self._serial = 0
        self._living: dict[int, tuple[int, int]] = {}  # pidfd → pid, serial
        self._ended: OrderedDict[int, bytes] = OrderedDict()
        self._asked: dict[int, socket.socket] = {}

    def live(self) -> None:
        """Returns when the host is gone or has closed the control socket."""
        while True:
            for descriptor, _ in self._epoll.poll():
                if descriptor == self._control.fileno():
                    if not self._answer():
                        return
                else:
                    self._reap(descriptor)

    def _answer(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, wire.MAX_PACKET, 1)
        except ConnectionError:
            return False
        if not data:
            return False
        if data[:1] == wire.FORK:
            for _ in range(data[1]):
                self._fork(self._control)
        elif data[:1] == wire.FORK_LIMITED and descriptors:
            with socket.socket(fileno=descriptors[0]) as asker, contextlib.suppress(OSError):
                self._fork(asker, Budget(*wire.LIMITED.unpack(data)[1:]))
        elif data[:1] == wire.STATUS and descriptors:
            self._tell(wire.READY.unpack(data)[1], socket.socket(fileno=descriptors[0]))
        return True

    def _fork(self, asker: socket.socket, budget: Budget | None = None) -> None:
        """A new child, whose channel and pidfd are sent to `asker`."""
        host_end, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._serial += 1
        try:
            pid = fork()
        except OSError:
            host_end.close()
            child_end.close()
            asker.send(wire.READY.pack(wire.NO_CHILD, self._serial))
            return
        if pid == 0:
            self._child.live(child_end.fileno(), budget)
        child_end.close()
        pidfd = os.pidfd_open(pid)
        self._living[pidfd] = pid, self._serial
        self._epoll.register(pidfd, select.EPOLLIN)
        packet = wire.READY.pack(wire.CHILD, self._serial)
        with host_end:
            socket.send_fds(asker, [packet], [host_end.fileno(), pidfd])

    def _reap(self, pidfd: int) -> None:
        pid, serial = self._living.pop(pidfd)
        _, status, usage = os.wait4(pid, 0)
        self._epoll.unregister(pidfd)
        os.close(pidfd)
        told = wire.ENDED.pack(status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
        if (asker := self._asked.pop(serial, None)) is not None:
            _send(asker, told)
            return
        self._ended[serial] = told
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    def _tell(self, serial: int, asker: socket.socket) -> None:
        if (told := self._ended.pop(serial, None)) is not None:
            _send(asker, told)
        elif any(serial == living for _, living in self._living.values()):
            self._asked[serial] = asker
        else:
            asker.close()

    def end(self) -> None:
        """Kill and reap every child."""
        for pidfd, (pid, _) in self._living.items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(pidfd)
        self._living.clear()


def _send(asker: socket.socket, told: bytes) -> None:
    with asker, contextlib.suppress(OSError):  # whoever asked may have given up
        asker.send(told)


def _prepare(memory_mb: int, cpu_seconds: int, extra_modules: Sequence[str]) -> Child:
    namespace = Namespace(extra_modules)
    for name in PRELOADED:
        __import__(name)
    time.localtime()
    return Child(Hardening(Budget(memory_mb, cpu_seconds)), namespace)


def _probe(child: Child) -> dict[str, Any]:
    """Harden one child for trial and hear from it which layers are in force."""
    reading, writing = os.pipe()
    pid = fork()
    if pid == 0:
        child.try_layers(writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not said:
        return {"available": False, "reason": f"a child ended with status {status} while it was hardened", "layers": {}}
    found: dict[str, Any] = json.loads(said)
    return found


def _hello(memory_mb: int, cpu_seconds: int, extra_modules: Sequence[str]) -> tuple[dict[str, Any], Child | None]:
    try:
        child = _prepare(memory_mb, cpu_seconds, extra_modules)
        return _probe(child), child
    except (UnknownModule, HardeningFailed, ImportError, OSError) as error:
        return {"available": False, "reason": str(error), "layers": {}}, None


def _be_first_victim() -> None:
    # Inherited by the children: when memory runs out, the kernel takes a run and not the service (proc(5)).
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:  # noqa: PTH123
        score.write("800")


def main(arguments: Sequence[str]) -> None:
    """Runs the zygote: descriptor of the control socket, MiB, CPU seconds, extra modules."""
    control = socket.socket(fileno=int(arguments[0]))
    gc.disable()
    _be_first_victim()
    hello, child = _hello(int(arguments[1]), int(arguments[2]), arguments[3:])
    control.send(wire.HELLO + json.dumps(hello).encode())
    if child is None or not hello["available"]:
        return
    sys.stdout = sys.stderr = None
    child.settle()
    gc.collect()
    gc.freeze()
    zygote = Zygote(control, child)
    try:
        zygote.live()
    finally:
        zygote.end()
