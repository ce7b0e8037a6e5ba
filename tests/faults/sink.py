"""An HTTP server in a process of its own that counts effects: `python -m tests.faults.sink PORT [ADDRESS]`.

/effect/{token} counts one and answers 200; /slow/{token} does after two seconds;
/flaky/{token} answers 503 the first time; /hang/{token} says nothing and /drip/{token} a byte now and then, for ten
seconds each. /counts says how often each token was counted, with which Idempotency-Key.
"""

from __future__ import annotations

import http.server
import json
import sys
import threading
import time
from collections import defaultdict
from typing import Any

COUNTS: dict[str, list[str]] = defaultdict(list)
LOCK = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    """Counts, then answers."""

    def do_GET(self) -> None:
        """One effect, or all counts."""
        _, verb, *rest = self.path.split("/")
        if verb == "counts":
            with LOCK:
                self._answer(200, dict(COUNTS))
            return
        token = "/".join(rest)
        with LOCK:
            COUNTS[token].append(self.headers.get("Idempotency-Key", ""))
            first = len(COUNTS[token]) == 1
        if verb == "drip":
            self._drip()
            return
        time.sleep({"slow": 2, "hang": 10}.get(verb, 0))
        self._answer(503 if verb == "flaky" and first else 200, {"token": token})

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(50):
            self.wfile.write(b"x")
            time.sleep(0.2)

    def _answer(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Sink(http.server.ThreadingHTTPServer):
    """Many at once; clients that are killed are what this is for."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_: Any) -> None:
        """Nothing: the client was killed."""


if __name__ == "__main__":
    address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    Sink((address, int(sys.argv[1])), Handler).serve_forever()
