"""A whole service for the tests of this folder."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from service import Service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service, shared by the tests of a file."""
    service = Service(tmp_path_factory.mktemp("service"))
    try:
        service.start("redis", "api", "worker", "beat")
        yield service
    finally:
        service.stop()


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Service]:
    """A service that is the test's own, to do harm to; nothing is started yet."""
    service = Service(tmp_path)
    try:
        yield service
    finally:
        service.stop()


class Sink(http.server.ThreadingHTTPServer):
    """An HTTP server that counts its calls by path; /slow… answers after three seconds, /hang… after thirty."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """Clients that go away are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Sink)
        self.server.calls.append(self.path)
        time.sleep({"/slow": 3, "/hang": 30}.get(self.path[:5], 0))
        body = b'{"hello": "world"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A running sink."""
    server = Sink()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
