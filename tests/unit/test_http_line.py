"""The total deadline and the stop of an HTTP call, in every phase it can be stuck in."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from tasks.http_call import MAX_STRAYS, HttpCaller, HttpRequest
from tasks.http_line import Cut, Line
from tasks.model import Done, Failed, Limits, Outcome
from tasks.report import Report
from tests.http_server import Seen, Server, answer

Phase = Callable[[pytest.MonkeyPatch], contextlib.AbstractContextManager[str]]


def hanging(_seen: Seen, connection: socket.socket) -> None:
    connection.recv(1)


def dripping_head(_seen: Seen, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X")
        time.sleep(0.05)


def dripping_body(_seen: Seen, connection: socket.socket) -> None:
    connection.sendall(answer(content_length="1000000"))
    while True:
        connection.sendall(b".")
        time.sleep(0.05)


def redirecting_slowly(_seen: Seen, _connection: socket.socket) -> bytes:
    time.sleep(0.1)
    return answer(status=302, location="/on")


def serving(script: Callable[[Seen, socket.socket], bytes | None]) -> Phase:
    @contextlib.contextmanager
    def phase(_patch: pytest.MonkeyPatch) -> Iterator[str]:
        with Server(script) as server:
            yield server.url()

    return phase


@contextlib.contextmanager
def silent_tls(_patch: pytest.MonkeyPatch) -> Iterator[str]:
    # A plain listener: the connection is accepted by the kernel, and nobody ever says hello.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/"


@contextlib.contextmanager
def full_backlog(_patch: pytest.MonkeyPatch) -> Iterator[str]:
    # Linux leaves a connect unanswered once the queue of the listener is full.
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


@contextlib.contextmanager
def hanging_dns(patch: pytest.MonkeyPatch) -> Iterator[str]:
    answered = threading.Event()

    def lookup(*_args: object) -> list[object]:
        answered.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    patch.setattr(socket, "getaddrinfo", lookup)
    yield "http://name.test/"
    answered.set()


@contextlib.contextmanager
def deaf_server(_patch: pytest.MonkeyPatch) -> Iterator[str]:
    # Accepted by the kernel and never read: a body larger than the buffers is stuck half sent.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


PHASES: dict[str, Phase] = {
    "looking up the name": hanging_dns,
    "connecting": full_backlog,
    "the TLS handshake": silent_tls,
    "sending the request": deaf_server,
    "waiting for the answer": serving(hanging),
    "waiting for the answer, which drips": serving(dripping_head),
    "reading the answer": serving(dripping_body),
}


@pytest.mark.parametrize("name", PHASES)
def test_the_deadline_holds_in_every_phase(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with PHASES[name](monkeypatch) as url:
        started = time.monotonic()
        outcome = _call(url, name, Report(0), timeout=0.6)
        took = time.monotonic() - started
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.permanent) == ("timed_out", False)
    assert name.split(",")[0] in outcome.message
    assert 0.5 < took < 5


@pytest.mark.parametrize("name", PHASES)
def test_a_stop_ends_the_call_within_a_second_in_every_phase(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    report = Report(0)
    stopped_at: list[float] = []

    def stop() -> None:
        stopped_at.append(time.monotonic())
        report.stop("stopped")

    with PHASES[name](monkeypatch) as url:
        timer = threading.Timer(0.4, stop)
        timer.start()
        outcome = _call(url, name, report, timeout=30)
        ended_at = time.monotonic()
        timer.join()
    assert isinstance(outcome, Failed)
    assert outcome.code == "stopped"
    assert ended_at - stopped_at[0] < 1


def test_redirects_share_one_deadline() -> None:
    with Server(redirecting_slowly) as server:
        started = time.monotonic()
        outcome = _call(server.url(), "", Report(0), timeout=0.5)
        took = time.monotonic() - started
    assert isinstance(outcome, Failed)
    assert outcome.code == "timed_out"
    assert took < 5


def test_a_stop_that_came_before_the_call_lets_nothing_out() -> None:
    report = Report(0)
    report.stop("shutdown")
    with Server(hanging) as server:
        outcome = _call(server.url(), "", report, timeout=5)
        _no_call_is_left()
        assert server.connections == 0
    assert isinstance(outcome, Failed)
    assert outcome.code == "stopped"


def test_a_call_stopped_in_its_name_lookup_does_not_connect_when_the_name_comes_after_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, answered = threading.Event(), threading.Event()
    report = Report(0)
    with Server(hanging) as server:

        def lookup(*_args: object) -> list[object]:
            asked.set()
            answered.wait(10)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]

        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        stopper = threading.Thread(target=lambda: asked.wait(10) and report.stop("stopped"))
        stopper.start()
        outcome = _call(f"http://name.test:{server.port}/", "", report, timeout=10)
        stopper.join()
        answered.set()
        _no_call_is_left()
        assert server.connections == 0
    assert isinstance(outcome, Failed)
    assert outcome.code == "stopped"


def test_a_finished_call_leaves_no_thread_and_no_descriptor_behind() -> None:
    with Server(lambda _seen, _connection: answer("hi")) as server:
        _call(server.url(), "", Report(0), timeout=5)
        _no_call_is_left()
        before = _descriptors()
        for _ in range(20):
            assert isinstance(_call(server.url(), "", Report(0), timeout=5), Done)
        _no_call_is_left()
    assert _descriptors() <= before


def test_calls_stuck_in_lookups_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    caller = HttpCaller(allowed_networks=[], max_response_bytes=1000)
    limits = Limits(timeout=0.002, max_result_bytes=1000)
    codes = []
    with hanging_dns(monkeypatch) as url:
        for _ in range(MAX_STRAYS + 2):
            outcome = caller.call(HttpRequest(api_url=url), limits=limits, report=Report(0))
            assert isinstance(outcome, Failed)
            codes.append(outcome.code)
    _no_call_is_left()
    assert codes == ["timed_out"] * MAX_STRAYS + ["dns_failed"] * 2


def test_whoever_ends_a_line_first_decides() -> None:
    line = Line(5)
    here, there = socket.socketpair()
    with here, there:
        line.hold(here)
        line.end(Done(value=1))
        line.end(Failed(code="late", message="Late."))
        assert line.outcome() == Done(value=1)
        assert there.recv(1) == b""
        with pytest.raises(Cut):
            line.hold(there)
        line.release()


def test_what_nobody_expected_reaches_the_caller() -> None:
    line = Line(5)
    line.end(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        line.outcome()


def _call(url: str, name: str, report: Report, *, timeout: float) -> Outcome:
    caller = HttpCaller(allowed_networks=[ip_network("127.0.0.0/8")], max_response_bytes=1 << 20)
    fields = {"method": "POST", "body": "x" * 20_000_000} if name.startswith("sending") else {}
    request = HttpRequest(api_url=url, verify_tls=False, **fields)  # type: ignore[arg-type]
    return caller.call(request, limits=Limits(timeout=timeout, max_result_bytes=1 << 20), report=report)


def _no_call_is_left() -> None:
    for thread in threading.enumerate():
        if thread.name == "http-call":
            thread.join(10)
            assert not thread.is_alive()


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
