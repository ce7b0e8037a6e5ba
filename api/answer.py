"""What goes back over a connection."""

from __future__ import annotations

import errno
import struct
import time
from socket import MSG_DONTWAIT, SO_SNDTIMEO, SOL_SOCKET, socket
from typing import Any

from gunicorn import SERVER
from gunicorn.http.wsgi import Response
from gunicorn.util import http_date

#: Bytes a second that a client takes at the least of what does not fit the buffers.
SLOWEST = 100_000
NOTHING = memoryview(b"")
#: Bytes that are sent without a look at the clock.
PIECE = 262_144


class Answer(Response):
    """gunicorn's response, but its head goes out with the first of its body: one system call, one client woken once."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self._head = b""
        #: What the buffers did not take of an answer that is all there: nobody has to wait for its client.
        self.rest = NOTHING

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
        if self.response_length is None:
            send(self.sock, data)
        elif self.rest:
            self.rest = memoryview(bytes(self.rest) + data)
        else:
            self.rest = send_now(self.sock, memoryview(data))


def created(rest: bytes) -> bytes:
    """An answer 201 with the lines with which every answer begins, before the `rest` of its head and its body."""
    begin = f"HTTP/1.1 201 CREATED\r\nServer: {SERVER}\r\nDate: {http_date()}\r\nConnection: keep-alive\r\n"
    return begin.encode() + rest


def send_now(sock: socket, data: memoryview) -> memoryview:
    """Send what the buffers take at once; what is left."""
    while data:
        try:
            data = data[sock.send(data[:PIECE], MSG_DONTWAIT) :]
        except BlockingIOError:
            break
    return data


def send(sock: socket, data: bytes) -> None:
    """Send all of it. Raises BrokenPipeError where the client takes longer than the line's patience allows."""
    started = time.monotonic()
    left = memoryview(data)
    while left:
        try:
            left = left[sock.send(left[:PIECE]) :]
        except BlockingIOError:
            raise BrokenPipeError(errno.EPIPE, "the client does not read") from None
        if not left or not (patience := _patience(sock)):
            continue
        if time.monotonic() - started > patience + len(data) / SLOWEST:
            raise BrokenPipeError(errno.EPIPE, "the client reads too slowly")


def _patience(sock: socket) -> int:
    """What the line waits for in one call, seconds; asked only where the buffers did not take everything."""
    seconds, _ = struct.unpack("ll", sock.getsockopt(SOL_SOCKET, SO_SNDTIMEO, 16))
    return int(seconds)
