"""What strangers send makes no line of the log file, whoever logs it and whatever goes wrong meanwhile."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from tests.integration.service import Service

FORGED = "2026-01-01T00:00:00.000Z WARNING api nothing to see here"
#: How every entry begins; what a traceback adds is indented or follows such a line.
ENTRY = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ ")


def told(service: Service, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", service.api_port), 10) as line:
        line.settimeout(10)
        line.sendall(sent)
        while line.recv(65536):
            pass


def attempts(service: Service) -> None:
    encoded = f"%0d%0a{FORGED}%0a".replace(" ", "%20")
    headers = {"X-Request-Id": f"x {FORGED}", "User-Agent": FORGED, "Referer": FORGED}
    for path in (f"/api/tasks/{encoded}", f"/{encoded}", f"/api/tasks?cursor={encoded}", f"/api/users/{encoded}"):
        service.call("GET", path, headers=headers)
        service.call("DELETE", path, headers=headers)
    for body in (
        {"username": f"a\n{FORGED}", "password": f"\r\n{FORGED}"},
        {"name": f"\u2028{FORGED}\x1b[2J\n", "task_type": f"\n{FORGED}", f"\n{FORGED}": 1},
    ):
        for path in ("/api/auth/login", "/api/tasks", "/api/users"):
            service.call("POST", path, json=body)
    token = f"a.b\x0b{FORGED}".encode()
    told(service, b"GET /api/tasks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + token + b"\r\n\r\n")
    told(service, b"GET /api/tasks HTTP/1.1\r\nHost: a\r\nX-A: b\n" + FORGED.encode() + b"\r\n\r\n")
    told(service, FORGED.encode() + b"\r\n\r\n")


def test_no_line_of_the_log_is_a_strangers_also_while_redis_is_away(own_service: Service) -> None:
    own_service.start("redis", "api")
    attempts(own_service)
    own_service.kill("redis")
    attempts(own_service)
    assert own_service.call("GET", "/api/tasks").status_code == 503
    (file,) = Path(own_service.environment["LOG_DIR"]).glob("*.log")
    text = file.read_text(encoding="utf-8")
    assert "Redis" in text
    assert not any(line.startswith("2026-01-01") for line in re.split(r"[\n\r\u2028\x0b\x85]", text))
    assert "\x1b" not in text
    assert all(ENTRY.match(line) for line in text.splitlines()), text
