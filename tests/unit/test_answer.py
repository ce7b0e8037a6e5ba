"""How long a client may take over an answer, on a real connection."""

from __future__ import annotations

import socket
import struct
import threading
import time
from types import SimpleNamespace

import pytest
from gunicorn.config import Config

from api.answer import Answer

PATIENCE = 1
SIZE = 600_000


def answer_to(reader_pause: float) -> int:
    """Bytes that a client got who takes 20,000 bytes after each pause; raises what sending raises."""
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
        answer.start_response("200 OK", [("Content-Length", str(SIZE))])
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
