"""One guarded HTTP request, from its first name lookup to its Outcome."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Final
from urllib.parse import urldefrag, urljoin

import ssrfguard
from urllib3.connection import HTTPConnection
from urllib3.exceptions import DecodeError, HTTPError, IncompleteRead, InvalidChunkLength, ProtocolError
from urllib3.response import BaseHTTPResponse
from urllib3.util import parse_url

from tasks.errors import FieldProblem
from tasks.http_answer import Answer, WholeResponse, read_answer
from tasks.http_guard import Guard, Refusal, shown
from tasks.http_line import Cut, Line
from tasks.http_request import REDIRECTS, UNSET, Hop, HttpRequest, first_hop, request_problems, same_origin
from tasks.http_threads import CallThreads
from tasks.http_trust import Trust, trust_problems
from tasks.model import Done, Failed, Limits, Outcome
from tasks.report import Report

__all__ = ["UNSET", "HttpCaller", "HttpRequest"]

MAX_REDIRECTS: Final = 10
#: Calls that ended while a name lookup or a connect, which nothing can interrupt, still holds their thread.
MAX_STRAYS: Final = 256
#: 4xx that may turn out differently next time: Request Timeout, Too Early, Too Many Requests.
PASSING: Final = frozenset({408, 425, 429})

# It warns of odd response headers with the whole URL, whose query may hold a secret.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)


class HttpCaller:
    """Makes HTTP requests to the public internet and to `allowed_networks`, nowhere else. Safe to use from threads.

    It reads no proxy, no .netrc and no cookie from its surroundings, keeps no connection and never repeats a request.
    Raises ValueError for allowed networks that the guard cannot keep (see Guard).
    """

    def __init__(self, *, allowed_networks: Sequence[IPv4Network | IPv6Network], max_response_bytes: int) -> None:
        self._guard = Guard(allowed_networks)
        self._trust = Trust()
        self._max_bytes = max_response_bytes
        self._threads = CallThreads()
        self._lock = threading.Lock()
        self._under_way = 0

    def problems(self, request: HttpRequest) -> list[FieldProblem]:
        """Everything that can be seen to be wrong with the request without any network traffic or DNS."""
        found = [*request_problems(request), *trust_problems(request)]
        try:
            self._guard.check(request.api_url)
            _target_of(request.api_url)
        except Refusal as refusal:
            found.insert(0, FieldProblem(pointer="/api_url", code=refusal.code, message=refusal.message))
        return found

    def call(self, request: HttpRequest, *, limits: Limits, report: Report) -> Outcome:
        """Make the request and follow its redirects; ends within `limits.timeout`, and at once on a stop.

        The report's `idempotency_key` goes out as the header Idempotency-Key unless the request has its own; a
        `confidential` call is not redirected to another host. The value of the
        Outcome is described at `Answer.value`. Codes of a Failed: `address_not_allowed`, `dns_failed`,
        `connect_failed`, `tls_failed`, `connection_lost`, `bad_response`, `unexpected_status` (with the answer as its
        value), `too_many_redirects`, `insecure_redirect`, `timed_out`, `stopped`, and those of `problems`.
        """
        if self._threads.busy - self._under_way >= MAX_STRAYS:
            message = "Too many calls on this worker hang in name lookups; try again later."
            return Failed(code="dns_failed", message=message, permanent=False)
        started = time.monotonic()
        line = Line(limits.timeout)
        exchange = Exchange(
            guard=self._guard,
            context=lambda: self._trust.of(request),
            line=line,
            limits=limits,
            max_bytes=self._max_bytes,
            confidential=report.confidential,
        )
        with report.on_stop(lambda: line.end(Failed(code="stopped", message="The call was stopped."))), self._counted():
            # Lookups and connects cannot be interrupted, so they and all else happen in a thread that can be left.
            self._threads.run(lambda: exchange.run(request, report.idempotency_key))
            try:
                return line.outcome()
            finally:
                report.usage["wall"] = round(time.monotonic() - started, 3)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1


class Exchange:
    """One call under way: hop after hop, in a thread of its own."""

    def __init__(
        self,
        *,
        guard: Guard,
        context: Callable[[], ssl.SSLContext],
        line: Line,
        limits: Limits,
        max_bytes: int,
        confidential: bool = False,
    ) -> None:
        """`context` makes the TLS settings, where they are needed.

        `confidential`: the request holds secrets, which go to the host that it names and no other.
        """
        self._guard = guard
        self._confidential = confidential
        self._context = context
        self._line = line
        self._limits = limits
        self._max_bytes = min(max_bytes, limits.max_result_bytes)
        self._started = time.monotonic()

    def run(self, request: HttpRequest, idempotency_key: str | None) -> None:
        """Make the call and end the line with its outcome; never raises."""
        try:
            self._line.end(self._outcome(request, self._follow(request, idempotency_key)))
        except Cut:
            pass
        except Refusal as refusal:
            self._line.end(Failed(code=refusal.code, message=refusal.message, permanent=refusal.permanent))
        except Exception as unexpected:  # noqa: BLE001 - whoever waits must learn of it
            self._line.end(unexpected)
        finally:
            self._line.release()

    def _outcome(self, request: HttpRequest, answer: Answer) -> Outcome:
        elapsed = time.monotonic() - self._started
        value = answer.value(elapsed=elapsed, max_bytes=self._limits.max_result_bytes)
        if request.expects(answer.status):
            return Done(value=value)
        return Failed(
            code="unexpected_status",
            message=f"{shown(answer.url)} answered with status {answer.status}.",
            permanent=300 <= answer.status < 500 and answer.status not in PASSING,
            value=value,
            retry_after=answer.retry_after,
        )

    def _follow(self, request: HttpRequest, idempotency_key: str | None) -> Answer:
        hop = first_hop(request, idempotency_key)
        for _ in range(MAX_REDIRECTS + 1):
            step = self._send(hop, follow=request.follow_redirects)
            if isinstance(step, Answer):
                return step
            hop = step
        raise Refusal("too_many_redirects", f"There were more than {MAX_REDIRECTS} redirects.")

    def _send(self, hop: Hop, *, follow: bool) -> Answer | Hop:
        """Send one request: its answer, or the request that its redirect asks for."""
        target = self._guard.check(hop.url)
        connection = HTTPConnection(target.host, target.port, timeout=self._patience)
        # Without a socket urllib3 would connect by itself, past the guard.
        connection.auto_open = 0
        connection.response_class = WholeResponse
        try:
            connection.sock = self._open(target)
            response = self._ask(connection, target, hop)
            with contextlib.closing(response):
                location = response.headers.get("Location")
                if follow and location and response.status in REDIRECTS:
                    return self._redirected(hop, response.status, location)
                return self._read(response, hop)
        finally:
            connection.close()

    @property
    def _patience(self) -> float:
        # A little more than is left, so that it is the deadline and not a socket that gives up.
        return self._line.left + 1

    def _open(self, target: ssrfguard.Target) -> socket.socket:
        """A connection to the target, with TLS where its scheme asks for it."""
        self._line.enter("while looking up the name")
        addresses = self._guard.resolve(target)
        self._line.enter("while connecting")
        try:
            plain = self._guard.connect(addresses, self._patience)
        except OSError as error:
            reason = _reason(error)
            message = f"Could not connect to {target.host} on port {target.port}: {reason}."
            raise Refusal("connect_failed", message, permanent=False) from None
        try:
            self._line.hold(plain)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.settimeout(self._patience)
            if target.scheme == "http":
                return plain
            # Made first, for it takes a while: a stop meanwhile is seen before the handshake begins.
            context = self._context()
            self._line.enter("during the TLS handshake")
            return self._secured(plain, target.host, context)
        except BaseException:
            plain.close()
            raise

    def _secured(self, plain: socket.socket, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
        host = host.rstrip(".")
        try:
            return context.wrap_socket(plain, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            fault = str(error.verify_message).rstrip(".")
            raise Refusal("tls_failed", f"The certificate of {host} was not accepted: {fault}.") from None
        except (OSError, ValueError) as error:
            message = f"No TLS connection to {host} came about: {_reason(error)}."
            raise Refusal("tls_failed", message, permanent=False) from None

    def _ask(self, connection: HTTPConnection, target: ssrfguard.Target, hop: Hop) -> BaseHTTPResponse:
        """Send the request and read the head of its answer."""
        headers = {"Host": _host_header(target), **hop.headers, "Connection": "close"}
        try:
            self._line.enter("while sending the request")
            # A server that has seen enough may answer and close before all is sent: its answer still counts.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                path = _target_of(hop.url)
                connection.request(hop.method, path, body=hop.body, headers=headers, preload_content=False)
            self._line.enter("while waiting for the answer")
            return connection.getresponse()
        except OSError as error:
            raise _lost(target.host, _reason(error)) from None
        except (http.client.HTTPException, HTTPError, ValueError):
            raise _bad(f"{target.host} did not answer in HTTP.") from None

    def _redirected(self, hop: Hop, status: int, location: str) -> Hop:
        try:
            # Headers arrive as Latin-1, the URL in them is UTF-8 in practice.
            given = location.encode("latin-1").decode("utf-8", "replace").strip().replace(" ", "%20")
            url = urldefrag(urljoin(hop.url, given)).url
        except ValueError:
            raise _bad("The server redirected to something that is not a URL.") from None
        try:
            self._guard.check(url)
            _target_of(url)
        except Refusal as refusal:
            if refusal.code == "address_not_allowed":
                raise
            raise _bad(f"The server redirected to a URL that cannot be called: {refusal.message}") from None
        if self._confidential and not same_origin(hop.url, url):
            text = "The server redirected to another host, and the request holds secrets, which are for the first only."
            raise Refusal("insecure_redirect", text)
        if hop.url.startswith("https:") and url.startswith("http:"):
            message = "The server redirected from https to http, which would send the request in the clear."
            raise Refusal("insecure_redirect", message)
        return hop.redirected(status, url)

    def _read(self, response: BaseHTTPResponse, hop: Hop) -> Answer:
        self._line.enter("while reading the answer")
        try:
            return read_answer(response, url=hop.url, max_bytes=self._max_bytes)
        except (DecodeError, InvalidChunkLength):
            raise _bad("The answer is encoded in a way that cannot be read.") from None
        except (ProtocolError, IncompleteRead, HTTPError, OSError, http.client.HTTPException):
            raise _lost(shown(hop.url), "the answer broke off") from None


def _target_of(url: str) -> str:
    """Path and query as they go on the request line. Raises Refusal where the URL has none that can be sent."""
    try:
        return parse_url(url).request_uri
    except HTTPError:
        raise Refusal("bad_url", "This is not a valid URL.") from None


def _host_header(target: ssrfguard.Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host.rstrip(".")
    usual = 443 if target.scheme == "https" else 80
    return host if target.port == usual else f"{host}:{target.port}"


def _lost(where: str, reason: str) -> Refusal:
    return Refusal("connection_lost", f"The connection to {where} was lost: {reason}.", permanent=False)


def _bad(message: str) -> Refusal:
    return Refusal("bad_response", message, permanent=False)


def _reason(error: BaseException) -> str:
    """What the system says, in its own few words."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(cause, ssl.SSLError):
        return (cause.reason or "protocol error").replace("_", " ").lower()
    if isinstance(cause, TimeoutError):
        return "no answer"
    if isinstance(cause, http.client.RemoteDisconnected):
        return "it was closed without an answer"
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno).lower()
    return "the other side ended it"
