"""A connection of a client, from its acceptance to its end."""

from __future__ import annotations

import socket
import struct
from functools import cached_property
from typing import Any

from gunicorn.http import get_parser
from gunicorn.workers.gthread import TConn

from access.rate import place
from api.answer import NOTHING
from api.express import Express, Plain
from api.framing import Arrival


class Line(TConn):
    """A connection. Who takes it out of those that wait for their client has it to himself."""

    def __init__(self, *about: Any, patience: int) -> None:
        """`patience` in seconds, for a thread that reads or writes."""
        super().__init__(*about)
        self.number: int = self.sock.fileno()
        self.sock.setblocking(True)
        limit = struct.pack("ll", patience, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self.parser = get_parser(self.cfg, self.sock, self.client)
        self.initialized = True
        #: What has arrived of a request.
        self.arrival: Arrival | None = None
        #: Until when its client is waited for.
        self.deadline = 0.0
        #: What the express lane found wrong with the request.
        self.fault: Exception | None = None
        #: What its client has not taken yet of an answer, and whether anything follows that.
        self.rest = NOTHING
        self.stays = True
        #: Whether another thread shall answer the request that has arrived.
        self.passed_on = False
        #: Until when requests that were sent at once are answered.
        self.until = 0.0
        #: Whether a request was answered on it, and whether that was the last one.
        self.kept = False
        self.closing = False

    @cached_property
    def place(self) -> str:
        """What counts as one address."""
        address: Any = self.client
        return place(address[0])

    @property
    def begun(self) -> bool:
        """Whether a part of a request has arrived, and no more."""
        return bool(self.arrival and self.arrival.data)

    @property
    def held(self) -> int:
        """Bytes of an unfinished request, or answer."""
        return len(self.arrival.data) if self.arrival else len(self.rest)

    def take_buffered(self) -> bytes:
        """What the parser has read beyond the request that was answered."""
        return bytes(self._unreader.take_buffered())

    def plain(self, express: Express) -> Plain | None:
        """The request that has arrived, where it is a plain submission of which no fault is known."""
        if self.arrival is None or self.fault is not None:
            return None
        address: Any = self.client
        return express.read(bytes(self.arrival.data), str(address[0]))

    def hand_over(self) -> None:
        """Give what has arrived to the parser."""
        if self.arrival is not None:
            self._unreader.unread(bytes(self.arrival.data))
            self.arrival = None

    @property
    def _unreader(self) -> Any:
        parser: Any = self.parser
        return parser.unreader
