"""A whole service on a kernel without seccomp: code is refused with the reason, everything else goes on."""

from __future__ import annotations

from pathlib import Path

from tests.integration.service import Service
from tests.integration.sink import Sink
from tests.integration.started import Started
from tests.security.test_sandbox_layers import DEPRIVED

REASON = "Code cannot be contained here: the kernel refuses a seccomp filter (Invalid argument)."
SOURCE = "def f():\n    return 1"


def _without_seccomp(service: Service, *names: str) -> None:
    service.commands = {
        name: (*DEPRIVED, "seccomp", "--", *command) if name in names else command
        for name, command in service.commands.items()
    }


def test_a_worker_that_cannot_contain_code_fails_it_with_the_reason(own_service: Service, sink: Sink) -> None:
    service = own_service
    _without_seccomp(service, "worker")
    service.start("redis", "api", "worker", "beat")
    health = service.call("GET", "/api/health").json()
    assert health["status"] == "degraded"
    assert health["workers"][0]["sandbox"] == {"available": False, "reason": REASON, "layers": {}}
    code = service.finished(service.code(SOURCE)["id"])
    assert (code["status"], code["error"]["code"], code["error"]["message"]) == (
        "failed",
        "sandbox_unavailable",
        REASON,
    )
    assert code["result"] is None
    http = service.finished(service.submit(api_url=sink.url)["id"])
    assert (http["status"], http["result"]["status_code"]) == ("succeeded", 200)


def test_an_api_that_cannot_contain_code_takes_none_and_takes_http(own_service: Service, sink: Sink) -> None:
    service = own_service
    _without_seccomp(service, "api", "worker")
    service.start("redis", "api", "worker")
    health = service.call("GET", "/api/health").json()
    assert health["sandbox"] == {"available": False, "reason": REASON, "layers": {}}
    fields = {"name": "a task", "task_type": "immediate", "function_code": SOURCE, "function_name": "f"}
    refused = service.call("POST", "/api/tasks", json=fields)
    assert refused.status_code == 422
    (problem,) = refused.json()["errors"]
    assert (problem["pointer"], problem["code"]) == ("/function_code", "sandbox_unavailable")
    assert problem["message"] == REASON
    assert service.call("GET", "/api/tasks").json()["total"] == 0
    http = service.finished(service.submit(api_url=sink.url)["id"])
    assert http["status"] == "succeeded"


def test_start_py_says_that_code_is_refused_and_why(tmp_path: Path, sink: Sink) -> None:
    started = Started(tmp_path)
    started.prefix = (*DEPRIVED, "seccomp", "--")
    try:
        started.begin()
        *_, sandbox, ready = started.output.splitlines()
        assert sandbox == f"sandbox   NOT there: code tasks are refused, HTTP tasks go on. {REASON}"
        assert ready.startswith("Ready in")
        assert started.finished(started.submit(api_url=sink.url)["id"])["status"] == "succeeded"
    finally:
        started.stop()
