"""The life of one child: harden, wait for the one request, do it, end. Everything here runs after the fork.

A child pays for each page that it writes to for the first time, and Python writes to whatever it uses. So what every
child does is one short way, which the zygote has gone often enough that nothing is left to be looked up or specialised.
"""

from __future__ import annotations

import _socket
import json
import os

from tasks.sandbox import wire
from tasks.sandbox.harden import Hardening, HardeningFailed
from tasks.sandbox.seccomp import CHANNEL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

#: Bytes asked for at once; most requests are shorter.
AT_ONCE = 4096
#: How often the zygote practises: enough for the interpreter to have specialised its own code (PEP 659).
ROUNDS = 40


class Child:
    """Prepared once in the zygote, used once in each child. What a kind of children does is its own."""

    def __init__(self, hardening: Hardening) -> None:
        self._hardening = hardening

    # --- Of each kind

    def warm_up(self) -> None:
        """Touch what every request touches while nobody waits: the copies of shared pages are made here."""
        raise NotImplementedError

    def serve(self, request: bytes) -> None:
        """Do what is asked, once."""
        raise NotImplementedError

    def rehearse(self, request: bytes) -> None:
        """Do it in the zygote, and leave no trace."""
        raise NotImplementedError

    def sample(self) -> bytes:
        """A request that does what most do."""
        raise NotImplementedError

    # --- Of all

    def live(self, channel: int, budget: wire.Budget | None = None) -> NoReturn:
        """Never returns."""
        try:
            try:
                self._hardening.apply(channel, budget)
            except (HardeningFailed, OSError) as error:
                _refuse(channel, str(error))
                os._exit(1)
            self.warm_up()
            self.serve(_read_request())
        finally:
            os._exit(0)

    def try_layers(self, channel: int) -> NoReturn:
        """Harden for trial, tell the outcome as JSON and end."""
        told = self._hardening.try_out(channel)
        _write(channel, json.dumps(told).encode())
        os._exit(0)

    def practise(self) -> None:
        """In the zygote: let caches fill and code specialise now, so that children need not copy those pages."""
        request = self.sample()
        request = wire.REQUEST.pack(len(request)) + request
        kept = os.dup(CHANNEL)
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        os.dup2(theirs.fileno(), CHANNEL)
        for _ in range(ROUNDS):
            self.warm_up()
            ours.send(request)
            self.rehearse(_read_request())
            ours.recv(1 << 16)
        os.dup2(kept, CHANNEL)
        os.close(kept)
        ours.close()
        theirs.close()


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


def _read_request() -> bytes:
    data = os.read(CHANNEL, AT_ONCE)
    while len(data) < wire.REQUEST.size or len(data) < wire.REQUEST.size + wire.REQUEST.unpack_from(data)[0]:
        part = os.read(CHANNEL, 1 << 20)
        if not part:
            os._exit(0)
        data += part
    return data[wire.REQUEST.size :]
