"""How long a client may take over an answer that is made while it is sent, and that nobody waits for another."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from types import SimpleNamespace

import pytest
from gunicorn.config import Config

from api.answer import Answer, send_now

PATIENCE = 1
SIZE = 600_000


def answer_to(reader_pause: float) -> int:
    """Bytes that a client got who takes 20,000 bytes after each pause; raises what sending raises."""
    # Without a length it may be one that goes on, such as a stream of events.
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
    got = 0

    def read() -> None:
        nonlocal got
        while data := theirs.recv(20_000):
            got += len(data)
            time.sleep(reader_pause)

    reader = threading.Thread(target=read)
    with theirs, ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", PATIENCE, 0))
        reader.start()
        request = SimpleNamespace(version=(1, 1), method="GET", should_close=lambda: False)
        answer = Answer(request, ours, Config())
        answer.start_response("200 OK", [])
        try:
            answer.write(b"x" * SIZE)
        finally:
            ours.shutdown(socket.SHUT_WR)
            reader.join(60)
    return got


def test_a_client_that_reads_gets_all_of_it() -> None:
    assert answer_to(0.0) > SIZE


def test_a_client_that_takes_a_little_now_and_then_does_not_keep_the_thread() -> None:
    started = time.monotonic()
    with pytest.raises(BrokenPipeError):
        answer_to(0.5)
    assert time.monotonic() - started < SIZE / 20_000 * 0.5


def test_nobody_waits_for_who_reads_an_answer_that_is_all_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    size = 20_000_000
    with theirs, ours:
        theirs.settimeout(10)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)
        request = SimpleNamespace(version=(1, 1), method="GET", should_close=lambda: False)
        answer = Answer(request, ours, Config())
        answer.start_response("200 OK", [("Content-Length", str(size))])
        for _ in range(2):
            answer.write(b"x" * (size // 2))
        answer.close()
        rest, got = answer.rest, bytearray()
        assert len(rest) > size // 2
        while rest:
            readable, writable, _ = select.select([theirs], [ours], [], 10)
            rest = send_now(ours, rest) if writable else rest
            got += theirs.recv(1_000_000) if readable else b""
        ours.shutdown(socket.SHUT_WR)
        while data := theirs.recv(1_000_000):
            got += data
        assert got.partition(b"\r\n\r\n")[2] == b"x" * size
