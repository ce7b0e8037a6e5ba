"""An HTTP server on loopback that counts what reaches it."""

from __future__ import annotations

import http.server
import time
from collections import defaultdict
from typing import Any


class Sink(http.server.ThreadingHTTPServer):
    """An HTTP server that counts its calls by path; /slow… answers after three seconds, /hang… after thirty."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[str] = []
        #: The Idempotency-Key of each call by its path, '' for none.
        self.keys: dict[str, list[str]] = defaultdict(list)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """Clients that go away are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Sink)
        self.server.calls.append(self.path)
        self.server.keys[self.path].append(self.headers.get("Idempotency-Key", ""))
        time.sleep({"/slow": 3, "/hang": 30}.get(self.path[:5], 0))
        body = b'{"hello": "world"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name is http.server's

    def log_message(self, *_: Any) -> None:
        pass
