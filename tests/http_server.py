"""A real HTTP server on loopback whose every byte the test decides."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True)
class Seen:
    """A request as the server read it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


#: What the server does with a request; bytes it returns are sent, then the connection is closed.
Script = Callable[[Seen, socket.socket], bytes | None]


class Server:
    """Answers each connection in a thread of its own. Use as a context manager; nothing outlives it."""

    def __init__(self, script: Script, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None):
        self.seen: list[Seen] = []
        self.connections = 0
        #: Set when the test is over, so that a script that waits can end.
        self.over = threading.Event()
        self._script, self._tls, self._host = script, tls, host
        self._listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=50
        )
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._open: list[socket.socket] = []

    def url(self, path: str = "/", *, host: str | None = None) -> str:
        shown = host or (f"[{self._host}]" if ":" in self._host else self._host)
        return f"{'https' if self._tls else 'http'}://{shown}:{self.port}{path}"

    def __enter__(self) -> Server:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self.over.set()
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(20)
                self.connections += 1
                self._open.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            stack.enter_context(connection)
            request = read_request(connection)
            if request is None:
                return
            self.seen.append(request)
            answer = self._script(request, connection)
            if answer:
                connection.sendall(answer)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)


def read_request(connection: socket.socket) -> Seen | None:
    stream = connection.makefile("rb")
    first = stream.readline(70_000).decode("latin-1").split()
    if len(first) != 3:
        return None
    headers: dict[str, str] = {}
    while line := stream.readline(70_000).decode("latin-1").rstrip("\r\n"):
        name, _, value = line.partition(": ")
        headers[name] = value
    return Seen(first[0], first[1], headers, stream.read(int(headers.get("Content-Length", "0"))))


def answer(body: bytes | str = b"", *, status: int = 200, **headers: str) -> bytes:
    """A whole response; `content_type=` becomes Content-Type."""
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever"]
    lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in headers.items()]
    if "content_length" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
