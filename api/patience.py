"""The gunicorn worker: threads that serve, and one loop that waits for slow clients in their stead."""

from __future__ import annotations

import contextlib
import errno
import http
import json
import resource
import selectors
import socket
import struct
import threading
import time
import uuid
from email.utils import formatdate
from functools import partial
from typing import Any

from gunicorn.http import get_parser
from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.workers.gthread import TConn, ThreadWorker

from api.browser import HEADERS
from api.framing import Ambiguous, Arrival

#: Bytes that are held for all unfinished requests together.
MOST_HELD = 134_217_728
PIECE = 65_536
#: Open files of the process besides connections.
OTHER_FILES = 200
CODES = {
    408: "request_timeout",
    413: "body_too_large",
    414: "uri_too_long",
    417: "expectation_failed",
    431: "headers_too_large",
    500: "internal_error",
    505: "http_version_not_supported",
}
#: What gunicorn cannot read, where it is not simply a bad request.
UNREADABLE = {LimitRequestLine: 414, ExpectationFailed: 417, LimitRequestHeaders: 431}
#: What gunicorn cannot send, for our own sake.
OUR_FAULT = frozenset({"InvalidResponseHeader", "InvalidResponseHeaderName"})
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


class PatientWorker(ThreadWorker):
    """gthread, but a thread gets a request only when all of it has arrived.

    gthread gives a thread to whoever sends a first byte, so as many slow clients as there are threads hold the server.
    Here they hold a socket and a little memory, for `slow_client_seconds` at the most.
    """

    slow_client_seconds = 15
    max_body_bytes = 1_048_576
    #: Set when this process is told to end.
    leaving = threading.Event()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        #: Connections whose request has not arrived, oldest first: what has, and until when the rest is waited for.
        self._arriving: dict[TConn, tuple[Arrival, float]] = {}
        self._held = 0
        self.worker_connections = min(self.worker_connections, _files() - OTHER_FILES)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Told to end (SIGTERM): whoever waits in a thread is told so."""
        self.leaving.set()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Told to end at once (SIGINT, SIGQUIT)."""
        self.leaving.set()
        super().handle_quit(sig, frame)

    def handle_error(self, _: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Say as a problem what gunicorn says in HTML: why it cannot read a request, or that something else failed."""
        if not isinstance(exc, ParseException) or type(exc).__name__ in OUR_FAULT:
            self.log.error("a request failed outside of the application", exc_info=exc)
            status = 500
        else:
            self.log.warning("unreadable request from %s: %s", addr[0] if addr else "?", type(exc).__name__)
            status = next((status for kind, status in UNREADABLE.items() if isinstance(exc, kind)), 400)
        with contextlib.suppress(OSError):
            client.sendall(_problem(status))

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """Serve a request. Where more was announced than is taken, the body was not waited for: its line is closed."""
        if any(name == "CONTENT-LENGTH" and int(value) > self.max_body_bytes for name, value in req.headers):
            req.force_close()
        # All of the body is here, or will not be taken: there is nobody to be told to go on.
        req._expected_100_continue = False
        return super().handle_request(req, conn)

    def accept(self, listener: Any) -> None:
        """Accept a connection; where there are too many, the one that is waited for longest makes room."""
        if self.nr_conns >= self.worker_connections - 1:
            self._drop_oldest()
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS):
                raise
            self._drop_oldest()

    def enqueue_req(self, conn: TConn) -> None:
        """Wait for the request without a thread. gthread calls this for every connection that may have one."""
        conn.sock.setblocking(False)
        if not conn.initialized:
            limit = struct.pack("ll", self.slow_client_seconds, 0)
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            conn.parser = get_parser(self.cfg, conn.sock, conn.client)
            conn.initialized = True
        already = _unreader(conn).buf.getvalue()
        _unreader(conn).take_buffered()
        self._arriving[conn] = (Arrival(self.max_body_bytes), time.monotonic() + self.slow_client_seconds)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._receive, conn))
        if already:
            self._take(conn, already)
        if conn in self._arriving:
            self._receive(conn, conn.sock)

    def _receive(self, conn: TConn, _: Any) -> None:
        try:
            data = conn.sock.recv(PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            self._take(conn, data)
        else:
            self._forget(conn)
            self._close(conn)

    def _take(self, conn: TConn, data: bytes) -> None:
        arrival = self._arriving[conn][0]
        waited = arrival.waits
        try:
            whole = arrival.add(data)
        except Ambiguous as fault:
            self._forget(conn)
            self._refuse(conn, fault.status, fault.detail)
            return
        self._held += len(data)
        if whole:
            self._forget(conn)
            _unreader(conn).unread(bytes(arrival.data))
            super().enqueue_req(conn)
        elif self._held > MOST_HELD:
            self._drop_oldest()
        elif arrival.waits and not waited:
            with contextlib.suppress(OSError):
                conn.sock.send(GO_ON)

    def murder_pending(self) -> None:
        """Close what was waited for long enough; gthread calls this once a second."""
        super().murder_pending()
        now = time.monotonic()
        for conn, (arrival, deadline) in list(self._arriving.items()):
            if now < deadline and self.alive:
                break
            self._forget(conn)
            if arrival.data:
                self._refuse(conn, 408)
            else:
                self._close(conn)

    def _drop_oldest(self) -> None:
        for conn in list(self._arriving)[:1]:
            self._forget(conn)
            self._close(conn)

    def _forget(self, conn: TConn) -> None:
        arrival, _ = self._arriving.pop(conn)
        self._held = max(0, self._held - len(arrival.data))
        with contextlib.suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)

    def _refuse(self, conn: TConn, status: int, detail: str = "") -> None:
        with contextlib.suppress(OSError):
            conn.sock.send(_problem(status, detail))
            conn.sock.shutdown(socket.SHUT_WR)
        self._close(conn)

    def _close(self, conn: TConn) -> None:
        self.nr_conns -= 1
        conn.close()


def worker_class(slow_client_seconds: int, max_body_bytes: int, leaving: threading.Event) -> type[PatientWorker]:
    """The worker with these limits; gunicorn makes it by itself, with its own arguments.

    `leaving` is set when the process is told to end.
    """
    limits = {"slow_client_seconds": slow_client_seconds, "max_body_bytes": max_body_bytes, "leaving": leaving}
    return type("LimitedWorker", (PatientWorker,), limits)


def _unreader(conn: TConn) -> Any:
    """What a connection's parser reads from; ours are all of HTTP/1.1."""
    parser: Any = conn.parser
    return parser.unreader


def _files() -> int:
    """How many files the process may have open, after it has asked for as many as it may ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _problem(status: int, detail: str = "") -> bytes:
    code = CODES.get(status, "bad_request")
    phrase = http.HTTPStatus(status).phrase
    name = uuid.uuid4().hex
    told = {"type": f"urn:tms:problem:{code}", "title": phrase, "status": status, "detail": detail or f"{phrase}."}
    body = json.dumps({**told, "code": code, "request_id": name}).encode()
    headers = {
        "Date": formatdate(usegmt=True),
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        "X-Request-Id": name,
        **HEADERS,
    }
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{header}: {value}" for header, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
