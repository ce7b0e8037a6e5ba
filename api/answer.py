"""What goes back over a connection."""

from __future__ import annotations

import errno
import struct
import time
from socket import SO_SNDTIMEO, SOL_SOCKET
from typing import Any

from gunicorn.http.wsgi import Response

#: Bytes a second that a client takes at the least of what does not fit the buffers.
SLOWEST = 100_000
#: Bytes that are sent without a look at the clock.
PIECE = 262_144


class Answer(Response):
    """gunicorn's response, but its head goes out with the first of its body: one system call, one client woken once."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self._head = b""

    def send_headers(self) -> None:
        """Make the head ready; it is sent with what follows it, or by `close`."""
        if not self.headers_sent:
            lines = [*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers), "\r\n"]
            self._head = "".join(lines).encode("latin-1")
            self.headers_sent = True

    def _emit_body(self, data: bytes) -> None:
        if self.chunked:
            data = b"%X\r\n%b\r\n" % (len(data), data)
        head, self._head = self._head, b""
        self._send(head + data)

    def close(self) -> None:
        """Send what is left: the head where there was no body, the end of one in chunks."""
        self.send_headers()
        end = b"0\r\n\r\n" if self.chunked else b""
        if self._head or end:
            self._send(self._head + end)
            self._head = b""

    def _send(self, data: bytes) -> None:
        """Send all of it. Raises BrokenPipeError where the client takes longer than the line's patience allows."""
        started = time.monotonic()
        left = memoryview(data)
        while left:
            try:
                left = left[self.sock.send(left[:PIECE]) :]
            except BlockingIOError:
                raise BrokenPipeError(errno.EPIPE, "the client does not read") from None
            if left and self._patience and time.monotonic() - started > self._patience + len(data) / SLOWEST:
                raise BrokenPipeError(errno.EPIPE, "the client reads too slowly")

    @property
    def _patience(self) -> int:
        """What the line waits for in one call, seconds; asked only where the buffers did not take everything."""
        seconds, _ = struct.unpack("ll", self.sock.getsockopt(SOL_SOCKET, SO_SNDTIMEO, 16))
        return int(seconds)
