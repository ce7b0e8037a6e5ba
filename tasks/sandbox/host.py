"""The host's side of one zygote: starting it, taking children from it, asking how they ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tasks.precedence import OWN
from tasks.sandbox import wire
from tasks.sandbox.wire import Budget

#: Seconds a zygote may take to say hello, and to hand over a child.
HELLO_SECONDS = 30.0
CHILD_SECONDS = 10.0
STATUS_SECONDS = 5.0

#: A descriptor as it travels, and the two that come with a child (unix(7), SCM_RIGHTS).
ONE, DESCRIPTORS = struct.Struct("i"), struct.Struct("ii")

ROOT = str(Path(__file__).resolve().parents[2])
START = "import sys; sys.path.append(sys.argv[1]); from tasks.sandbox.zygote import main; main(sys.argv[2:])"
#: Nothing of the service's environment; the time zone is fixed because a run could not read the machine's, and the
#: dynamic linker looks everything up at once, in the zygote, where each child would do so again (ld.so(8)).
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC0", "PATH": "/usr/bin:/bin", "LD_BIND_NOW": "1"}


class SandboxUnavailable(Exception):
    """Code cannot be contained on this machine, or the zygote is gone; the message says why."""


class Ended(NamedTuple):
    """How a child ended."""

    #: As wait(2) gives it.
    status: int
    #: Seconds.
    cpu: float
    #: Bytes.
    peak_memory: int


class ReadyChild:
    """A hardened child that waits for its one request."""

    def __init__(self, host: Host, serial: int, channel: socket.socket, pidfd: int) -> None:
        self._host = host
        self._serial = serial
        self.channel = channel
        self._pidfd = pidfd
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        """Its process id, as pidfd_open(2) says to find it."""
        info = Path(f"/proc/self/fdinfo/{self._pidfd}").read_text(encoding="ascii")
        return int(next(line.split()[1] for line in info.splitlines() if line.startswith("Pid:")))

    @property
    def lives(self) -> bool:
        """Whether it has not ended yet: a pidfd can be read from once its process has (pidfd_open(2))."""
        with self._lock:
            if self._pidfd < 0:
                return False
            poller = select.poll()
            poller.register(self._pidfd, select.POLLIN)
            return not poller.poll(0)

    def kill(self) -> None:
        """SIGKILL, from any thread, at any time; a process that is gone already is never mistaken for another."""
        with self._lock:
            if self._pidfd >= 0:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def end(self, *, again: bool) -> None:
        """Kill it if it lives and give all of it back; `again`: another is wanted in its stead."""
        self.kill()
        with self._lock:
            if self._pidfd >= 0:
                os.close(self._pidfd)
                self._pidfd = -1
        self.channel.close()
        self._host.done_with(self._serial, again)

    def how_ended(self) -> Ended | None:
        """How it ended, once it was killed or is dying; None if nobody can tell any more. To be asked once."""
        return self._host.how_ended(self._serial)


class Host:
    """One zygote process. Its methods may be called from several threads; a dead one is replaced by a new Host."""

    def __init__(self, kind: str, arguments: Sequence[str]) -> None:
        """Starts a zygote for a kind of children of `wire` and waits for its hello.

        Raises SandboxUnavailable if it does not come.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-I", "-X", "utf8", "-c", START, ROOT, str(theirs.fileno()), kind, *arguments]
            self._process = subprocess.Popen(
                command,
                env=ENVIRONMENT,
                cwd="/",
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        OWN.include(self._process.pid)
        self._control = ours
        self.gone = False
        self.hello = self._hear_hello()
        if self.hello["available"]:
            _set_patience(self._control, CHILD_SECONDS)
            self._order(wire.READY[kind])

    @property
    def pid(self) -> int:
        """The zygote's process id."""
        return self._process.pid

    def _hear_hello(self) -> dict[str, Any]:
        _set_patience(self._control, HELLO_SECONDS)
        try:
            packet = self._control.recv(wire.MAX_HELLO)
        except OSError:
            packet = b""
        if packet[:1] != wire.HELLO:
            self.close()
            raise SandboxUnavailable(f"The sandbox's process did not start (exit code {self._process.returncode}).")
        found: dict[str, Any] = json.loads(packet[1:])
        return found

    def _order(self, count: int) -> None:
        try:
            self._control.send(wire.FORK + bytes([count]))
        except OSError:
            self.gone = True
            raise SandboxUnavailable("The sandbox's process is gone.") from None

    def _take_limited(self, budget: Budget) -> ReadyChild:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                packet = wire.LIMITED.pack(wire.FORK_LIMITED, *budget)
                try:
                    socket.send_fds(self._control, [packet], [theirs.fileno()])
                except OSError:
                    self.gone = True
                    raise SandboxUnavailable("The sandbox's process is gone.") from None
            _set_patience(ours, CHILD_SECONDS)
            found = self._receive(ours, 0)
        return self._there(found)

    def take(self, budget: Budget | None = None) -> tuple[ReadyChild, bool]:
        """A ready child, and whether it came from the stock. Raises SandboxUnavailable.

        One with a `budget` of its own is made for the run.
        """
        if budget is not None:
            return self._take_limited(budget), False
        found = self._stocked()
        if found is not None:
            return found, True
        self._order(1)
        return self._there(self._receive(self._control, 0)), False

    def _stocked(self) -> ReadyChild | None:
        # What waits to be taken may have died since: with its zygote, or for lack of memory.
        while (found := self._receive(self._control, socket.MSG_DONTWAIT)) is not None and not found.lives:
            found.end(again=True)
        return found

    def _there(self, found: ReadyChild | None) -> ReadyChild:
        if found is None:
            self.gone = True
            raise SandboxUnavailable("The sandbox's process does not answer.")
        return found

    def done_with(self, serial: int, again: bool) -> None:
        """Have a child reaped that has been killed; `again`: it was of the stock, which is to be filled up."""
        try:
            self._control.send(wire.DONE_WITH.pack(wire.END, serial, again))
        except OSError:
            self.gone = True  # the next `take` finds out and says so

    def _receive(self, source: socket.socket, flags: int) -> ReadyChild | None:
        try:
            data, descriptors = _packet(source, flags)
        except BlockingIOError:
            return None
        except OSError:
            data, descriptors = b"", []
        if data[:1] == wire.NO_CHILD:
            raise SandboxUnavailable("No process can be started for the run now: the machine is out of processes.")
        if len(descriptors) != 2:
            for descriptor in descriptors:
                os.close(descriptor)
            self.gone = True
            raise SandboxUnavailable("The sandbox's process is gone.")
        channel, pidfd = descriptors
        return ReadyChild(self, wire.SERIAL.unpack(data)[1], socket.socket(fileno=channel), pidfd)

    def how_ended(self, serial: int) -> Ended | None:
        """How a child that is dead or dying ended; None if nobody can tell any more."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                packet = wire.SERIAL.pack(wire.STATUS, serial)
                try:
                    socket.send_fds(self._control, [packet], [theirs.fileno()])
                except OSError:
                    self.gone = True
                    return None
            ours.settimeout(STATUS_SECONDS)
            try:
                told = ours.recv(wire.ENDED.size)
            except OSError:
                return None
        return Ended(*wire.ENDED.unpack(told)) if len(told) == wire.ENDED.size else None

    def close(self) -> None:
        """End the zygote and with it every child; returns when they are gone."""
        self.gone = True
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._control.close()
        OWN.forget(self._process.pid)
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _packet(source: socket.socket, flags: int) -> tuple[bytes, list[int]]:
    """A packet and the descriptors that came with it; none of them is inherited. Raises OSError."""
    # Not socket.recv_fds, which forgets the flags (CPython 3.11 to 3.13): it would wait where none is in stock.
    found: list[int] = []
    room = socket.CMSG_LEN(DESCRIPTORS.size)
    data, ancillary, _, _ = source.recvmsg(wire.MAX_ORDER, room, flags | socket.MSG_CMSG_CLOEXEC)
    for level, kind, sent in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found += [number for (number,) in ONE.iter_unpack(sent[: len(sent) // ONE.size * ONE.size])]
    return data, found


def _set_patience(waiting: socket.socket, seconds: float) -> None:
    # In the kernel and not by socket.settimeout: a waiting thread then sleeps in recvmsg(2), which wakes only one.
    waiting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, int(seconds).to_bytes(8, sys.byteorder) + b"\0" * 8)
