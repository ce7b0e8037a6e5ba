"""The gunicorn worker: threads that serve whichever request has arrived, and nobody who waits for a slow client."""

from __future__ import annotations

import contextlib
import errno
import http
import logging
import resource
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from gunicorn.http import wsgi
from gunicorn.workers.gthread import ThreadWorker

from api import express, readiness, refusal
from api.answer import NOTHING, SLOWEST, Answer, send_now
from api.framing import Ambiguous, Arrival
from api.line import Line
from api.turns import NoTurns, Turns

log = logging.getLogger(__name__)

#: Bytes that are held for all unfinished requests and answers together.
MOST_HELD = 134_217_728
PIECE = 65_536
#: Open files of the process besides connections.
OTHER_FILES = 200
#: Seconds for which a connection is read on after its last answer, so that this is not lost to a reset (RFC 9112 §9.6),
#: and for which a process that ends waits for a request that is on its way over a kept connection.
LINGER = 2.0
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


class PatientWorker(ThreadWorker):
    """gthread, but its threads wait for requests together, and get one only when all of it has arrived.

    gthread gives a thread to whoever sends a first byte, until he has read the answer, so as many slow clients as there
    are threads hold the server. Here they hold a socket and a little memory, while they send and while they read, for
    `slow_client_seconds` at the most and what an answer takes at 100 kB/s. And a request goes from the
    kernel to the thread that answers it; gthread's goes through a loop, a queue and a pipe, there and back.
    """

    slow_client_seconds = 15
    max_body_bytes = 1_048_576
    #: Set when this process is told to end.
    leaving = threading.Event()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.worker_connections = min(self.worker_connections, _files() - OTHER_FILES)
        self._open: set[Line] = set()
        #: Those that wait for their client, by file number. Taking one out is atomic.
        self._waiting: dict[int, Line] = {}
        self._held = 0
        self._counting = threading.Lock()
        self._swept_at = 0.0
        self._turns: Turns = NoTurns()

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
        status = refusal.status_of(exc)
        if status == http.HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.error("a request failed outside of the application", exc_info=exc)
        else:
            self.log.warning("unreadable request from %s: %s", addr[0] if addr else "?", type(exc).__name__)
        with contextlib.suppress(OSError):
            client.sendall(refusal.problem(status))

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve a request. Where more was announced than is taken, the body was not waited for: its line is closed."""
        if any(name == "CONTENT-LENGTH" and int(value) > self.max_body_bytes for name, value in req.headers):
            req.force_close()
        # All of the body is here, or will not be taken: there is nobody to be told to go on.
        req._expected_100_continue = False
        answer: Any
        answer, environ = wsgi.create(req, conn.sock, conn.client, conn.server, self.cfg, response_class=Answer)
        environ["wsgi.multithread"] = True
        if conn.fault is not None:
            environ[express.FAULT], conn.fault = conn.fault, None
        if not self.alive:
            answer.force_close()
        try:
            self._apply(answer, environ)
        except OSError:
            raise
        except Exception as error:
            if not answer.headers_sent:
                raise
            self.log.exception("an answer broke off")
            raise StopIteration from error  # nothing else can be said on this connection
        conn.rest = answer.rest
        return not answer.should_close()

    def _apply(self, answer: Any, environ: Any) -> None:
        body = self.wsgi(environ, answer.start_response)
        try:
            for part in body:
                answer.write(part)
            answer.close()
        finally:
            if hasattr(body, "close"):
                body.close()

    # --- the main thread: who comes, and who has taken too long --------------------------------------------------

    def run(self) -> None:
        """Serve until told to end, then until all requests that have arrived are answered."""
        self._ready = readiness.make()
        wake: Any = self.method_queue
        self.poller.register(wake.fileno(), selectors.EVENT_READ, wake.run_callbacks)
        for number in range(self.cfg.threads):
            threading.Thread(target=self._serve, name=f"serve-{number}", daemon=True).start()
        while self.alive and self.is_parent_alive():
            self.notify()
            self.set_accept_enabled(len(self._open) < self.worker_connections)
            self.wait_for_and_dispatch_events(timeout=1.0)
            self._sweep()
        self.alive = False
        self.set_accept_enabled(False)
        self._send_away()
        end = time.monotonic() + self.cfg.graceful_timeout
        while self._open and time.monotonic() < end:
            self.notify()
            self.wait_for_and_dispatch_events(timeout=0.1)
            self._sweep(every=0.1)
        for listener in self.sockets:
            listener.close()

    def accept(self, listener: Any) -> None:
        """Accept a connection; where there are too many, one of those that wait makes room."""
        if len(self._open) >= self.worker_connections - 1:
            self._drop_oldest()
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS):
                self._drop_oldest()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        line = Line(self.cfg, client, address, listener.getsockname(), patience=self.slow_client_seconds)
        line.deadline = time.monotonic() + self.slow_client_seconds
        self._open.add(line)
        self._waiting[line.number] = line
        self._ready.watch(line.number)

    def _sweep(self, every: float = 1.0) -> None:
        """Close what was waited for long enough."""
        now = time.monotonic()
        if now - self._swept_at < every:
            return
        self._swept_at = now
        for line in list(self._waiting.values()):
            if line.deadline <= now and self._take(line):
                self._send_off(line)

    def _send_away(self) -> None:
        """Wait no longer for what has begun to arrive, and only a moment for what may be on its way."""
        now = time.monotonic()
        for line in list(self._waiting.values()):
            if line.kept and not line.begun:
                line.deadline = min(line.deadline, now + LINGER)
            elif line.rest or line.passed_on:
                continue
            elif self._take(line):
                self._send_off(line)

    def _drop_oldest(self) -> None:
        """Make room: of the address that has most lines, the one that is waited for longest goes."""
        waiting = list(self._waiting.values())
        crowd = Counter(line.place for line in waiting)
        self._drop(min(waiting, key=lambda line: (-crowd[line.place], line.deadline), default=None))

    def _drop_largest(self) -> None:
        """Free memory: who holds most of it goes."""
        self._drop(max(list(self._waiting.values()), key=lambda line: line.held, default=None))

    def _drop(self, line: Line | None) -> None:
        if line is not None and self._take(line):
            self._close(line)

    def _take(self, line: Line) -> bool:
        """Take this one out of those that wait; whether it still was one of them."""
        taken = self._waiting.pop(line.number, None)
        if taken is not None and taken is not line:  # a later one that has got the same number
            if taken.rest or taken.passed_on:
                self._await_room(taken)
            else:
                self._wait_on(taken)
        return taken is line

    def _send_off(self, line: Line) -> None:
        """Part with a client that was waited for long enough."""
        if line.begun:
            self._refuse(line, 408)
        else:
            self._close(line)

    # --- the threads ---------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while self.alive or self._open:
            turn = self._turns.take()
            try:
                numbers = self._ready.wait(1.0, self._turns.most)
                turn.begin()
                lines = [line for number in numbers if (line := self._waiting.pop(number, None))]
                left = self._answer_quick([line for line in lines if self._guarded(self._hear, line)])
            finally:
                turn.end()
            for line in left:
                self._guarded(self._attend, line)

    def _guarded(self, do: Callable[[Line], object], line: Line) -> bool:
        """Do something about a line, which is closed where that fails."""
        try:
            return bool(do(line))
        except Exception:
            log.exception("a connection broke")
            self._close(line)
            return False

    def _hear(self, line: Line) -> bool:
        """Take what has arrived, or send on what is left of an answer; whether there is a whole request."""
        if line.passed_on:
            line.passed_on = False
            self._count(-line.held)
            return True
        if line.rest:
            data = self._send_on(line)
        else:
            line.until = time.monotonic() + self.slow_client_seconds
            data = self._received(line)
        return bool(data) and not line.closing and self._has_arrived(line, data)

    def _attend(self, line: Line) -> None:
        """Answer the request that has arrived, and those behind it.

        Who sends requests without waiting for answers is answered for `slow_client_seconds` at the most, and then
        asks again (RFC 9112 §9.3.2).
        """
        has_arrived = True
        while has_arrived:
            line.stays = self._answer(line)
            data = self._answered(line)
            has_arrived = bool(data) and not line.closing and self._has_arrived(line, data)

    def _answered(self, line: Line) -> bytes:
        """What has arrived behind a request that was answered; nothing where its client has to read first."""
        if not line.rest:
            return self._following(line)
        line.rest = memoryview(bytes(line.rest))  # without what has been sent, which would be held with it
        self._count(len(line.rest))
        line.deadline = time.monotonic() + self.slow_client_seconds + len(line.rest) / SLOWEST
        self._await_room(line)
        return b""

    def _answer_quick(self, lines: Sequence[Line]) -> Sequence[Line]:
        """Answer what takes no time, in this turn; what is left for afterwards."""
        return lines

    def _received(self, line: Line) -> bytes:
        """What has arrived; nothing where the line waits for more, or has ended."""
        try:
            data = line.sock.recv(PIECE, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            self._wait_on(line)
            return b""
        except OSError:
            data = b""
        if line.closing and data:
            self._wait_on(line)
        elif not data:
            self._close(line)
        return data

    def _following(self, line: Line) -> bytes:
        """What has arrived behind a request that was answered; nothing where the line waits for more, or ends."""
        data = line.take_buffered()
        if not line.stays or (data and time.monotonic() > line.until):
            self._part(line)
            return b""
        line.kept = True
        if not data:
            line.deadline = time.monotonic() + (self.cfg.keepalive if self.alive else LINGER)
            self._wait_on(line)
        return data

    def _send_on(self, line: Line) -> bytes:
        """Send what can be sent of what is left of an answer; what has arrived behind its request, once all is sent."""
        had = len(line.rest)
        try:
            left = send_now(line.sock, line.rest)
        except OSError:
            self._close(line)
            return b""
        self._count(len(left) - had)
        line.rest = left
        if not left:
            return self._following(line)
        self._await_room(line)
        return b""

    def _answer(self, line: Line) -> bool:
        """Answer the request that has arrived; whether the line is kept."""
        line.hand_over()
        return bool(self.handle(line))

    def _has_arrived(self, line: Line, data: bytes) -> bool:
        """Whether a request is whole with `data`. Where it is not, its client is waited for, or refused."""
        arrival = line.arrival
        if arrival is None:
            arrival = line.arrival = Arrival(self.max_body_bytes)
            line.deadline = time.monotonic() + self.slow_client_seconds
        else:
            self._count(-line.held)
        waited = arrival.waits
        try:
            whole = arrival.add(data)
        except Ambiguous as fault:
            line.arrival = None
            self._refuse(line, fault.status, fault.detail)
            return False
        if whole:
            return True
        self._count(line.held)
        if arrival.waits and not waited:
            with contextlib.suppress(OSError):
                line.sock.send(GO_ON, socket.MSG_DONTWAIT)
        self._wait_on(line)
        if self._held > MOST_HELD:
            self._drop_largest()
        return False

    def _wait_on(self, line: Line) -> None:
        self._waiting[line.number] = line
        self._ready.watch_on(line.number)

    def _await_room(self, line: Line) -> None:
        """Wait, without a thread, until the client has taken some of what it is sent."""
        self._waiting[line.number] = line
        self._ready.watch_room(line.number)
        if self._held > MOST_HELD:
            self._drop_largest()

    def _count(self, held: int) -> None:
        with self._counting:
            self._held += held

    def _refuse(self, line: Line, status: int, detail: str = "") -> None:
        with contextlib.suppress(OSError):
            line.sock.send(refusal.problem(status, detail), socket.MSG_DONTWAIT)
        self._part(line)

    def _part(self, line: Line) -> None:
        """Say that nothing more comes, and close when the client has seen it, or soon."""
        self._give_up(line)
        try:
            line.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(line)
            return
        line.closing = True
        line.deadline = time.monotonic() + LINGER
        self._wait_on(line)

    def _give_up(self, line: Line) -> None:
        self._count(-line.held)
        line.arrival, line.rest = None, NOTHING

    def _close(self, line: Line) -> None:
        self._give_up(line)
        self._open.discard(line)
        line.close()
        if not self.alive:
            self.method_queue.defer(int)  # the main thread waits for the last one


def _files() -> int:
    """How many files the process may have open, after it has asked for as many as it may ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
