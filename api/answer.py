"""What goes back over a connection."""

from __future__ import annotations

from typing import Any

from gunicorn.http.wsgi import Response
from gunicorn.util import write


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
        write(self.sock, head + data)

    def close(self) -> None:
        """Send what is left: the head where there was no body, the end of one in chunks."""
        self.send_headers()
        end = b"0\r\n\r\n" if self.chunked else b""
        if self._head or end:
            write(self.sock, self._head + end)
            self._head = b""
