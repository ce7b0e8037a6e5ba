"""What start.py makes of whoever listens where Redis should be: a real server, and peers that answer oddly."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervision import redis_probe
from supervision.redis_probe import Answer, ping
from tests.integration.service import free_port
from tests.valkey import Valkey


@contextmanager
def peer(*answers: bytes) -> Iterator[str]:
    """Somebody who answers each thing that is sent with the next of `answers`, then says nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                for answer in answers:
                    if not connection.recv(4096):
                        return
                    connection.sendall(answer)
                connection.recv(4096)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        thread.join(5)


def info(version: str) -> bytes:
    """An answer to INFO."""
    text = f"# Server\r\nredis_version:{version}\r\naof_enabled:1\r\n".encode()
    return b"$%d\r\n%s\r\n" % (len(text), text)


def test_a_real_server_says_what_it_is(tmp_path: Path) -> None:
    port = free_port()
    with Valkey(tmp_path, "--port", str(port), "--bind", "127.0.0.1", "--requirepass", "it's a secret"):
        reply = ping(f"redis://:it's%20a%20secret@127.0.0.1:{port}/3")
        assert (reply.answer, reply.info["aof_enabled"]) == (Answer.PONG, "1")
        assert reply.info["maxmemory_policy"] == "noeviction"
        assert ping(f"redis://127.0.0.1:{port}/0").answer is Answer.REFUSED
        assert ping(f"redis://:wrong@127.0.0.1:{port}/0").answer is Answer.REFUSED
        assert "DB index" in ping(f"redis://:it's%20a%20secret@127.0.0.1:{port}/99").words


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("6.2.14", Answer.OLD),
        ("3.0", Answer.OLD),
        ("7.0.0", Answer.PONG),
        ("7.2.4", Answer.PONG),
        ("10.1", Answer.PONG),
        ("strange", Answer.PONG),
    ],
)
def test_an_old_server_is_told_apart_by_its_version(version: str, expected: Answer) -> None:
    with peer(b"+PONG\r\n", info(version)) as url:
        assert ping(url).answer is expected


@pytest.mark.parametrize("answer", [b"-NOPERM no INFO for you\r\n", b"$999999999\r\nx", b"+odd\r\n"])
def test_a_server_that_does_not_say_what_it_is_may_be_used(answer: bytes) -> None:
    with peer(b"+PONG\r\n", answer) as url:
        reply = ping(url, timeout=0.5)
        assert (reply.answer, reply.info) == (Answer.PONG, {})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", Answer.LOADING),
        (b"-NOAUTH Authentication required.\r\n", Answer.REFUSED),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Answer.STRANGER),
        (b"+HELLO\r\n", Answer.STRANGER),
        (b"", Answer.STRANGER),
    ],
)
def test_what_does_not_answer_pong_is_told_apart(answer: bytes, expected: Answer) -> None:
    with peer(answer) as url:
        assert ping(url, timeout=0.5).answer is expected


def test_nobody_there_is_absent_and_an_unknown_name_is_unreachable() -> None:
    assert ping(f"redis://127.0.0.1:{free_port()}/0").answer is Answer.ABSENT
    assert ping("redis://no-such-host.invalid:6379/0").answer is Answer.UNREACHABLE


def test_an_answer_to_info_without_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_probe, "MOST_INFO", 1000)
    with peer(b"+PONG\r\n", b"$900000\r\n" + b"x" * 5000) as url:
        assert ping(url, timeout=0.5).info == {}
