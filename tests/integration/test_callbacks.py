"""Callbacks through the whole service: real processes, a receiver that comes and goes, and workers that are killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.http_server import Script, Server, answer
from tests.integration.service import ROOT, Service, free_port, wait_for

pytestmark = pytest.mark.timeout(240)

QUICK = "def f():\n    return {'n': 1}\n"
PAGE = ROOT / "docs" / "howto" / "receive-callbacks.md"


@contextmanager
def receiver(script: Script | None = None, port: int = 0) -> Iterator[Server]:
    with Server(script or (lambda *_: answer(status=204)), port=port) as server:
        yield server


def delivered(service: Service, task_id: str, *, many: int = 1, status: str = "delivered") -> list[dict[str, Any]]:
    """The deliveries of a task once so many of them are over."""

    def seen() -> list[dict[str, Any]]:
        found = service.call("GET", f"/api/tasks/{task_id}/callbacks").json()["callbacks"]
        over = [each for each in found if each["status"] == status]
        return over if len(over) >= many else []

    return list(wait_for(f"{many} callbacks {status}", seen, seconds=90))


def secret(service: Service) -> str:
    return str(service.call("GET", "/api/callbacks/secret").json()["secret"])


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ({"function_code": QUICK, "function_name": "f"}, "succeeded"),
        ({"function_code": "def f():\n    raise ValueError('no')\n", "function_name": "f"}, "failed"),
        (
            {"function_code": "def f():\n    while True:\n        pass\n", "function_name": "f", "timeout": 1},
            "timed_out",
        ),
        ({"api_url": "http://127.0.0.1:1/"}, "failed"),
        ({"function_code": QUICK, "function_name": "f", "task_type": "delayed", "delay_seconds": 0.5}, "succeeded"),
    ],
    ids=["code", "raises", "endless", "http", "delayed"],
)
def test_every_end_is_told(service: Service, fields: dict[str, Any], end: str) -> None:
    with receiver() as server:
        task = service.submit(**fields, callback={"url": server.url("/done")})
        delivered(service, task["id"])
        (seen,) = server.seen
    told = Webhook(secret(service)).verify(seen.body, dict(seen.headers))
    assert (told["type"], told["data"]["status"], told["data"]["task_id"]) == (f"run.{end}", end, task["id"])
    shown = service.task(task["id"])["last_run"]
    if end == "succeeded":
        assert told["data"]["result"] == {"n": 1}
    else:
        assert told["data"]["error"]["code"] == shown["error"]["code"]
    assert told["data"]["finished_at"] == shown["finished_at"]


def test_each_run_of_a_schedule_is_told(service: Service) -> None:
    with receiver() as server:
        url = server.url()
        task = service.code(
            QUICK,
            task_type="scheduled",
            cron_expression="* * * * * *",
            max_runs=3,
            overlap="allow",
            callback={"url": url},
        )
        delivered(service, task["id"], many=3)
    ids = sorted(seen.headers["webhook-id"] for seen in server.seen)
    assert ids == [f"{task['id']}_{number}" for number in (1, 2, 3)]


def test_a_stop_is_told(service: Service) -> None:
    with receiver() as server:
        task = service.code(QUICK, task_type="delayed", delay_seconds=3600, callback={"url": server.url()})
        service.call("POST", f"/api/tasks/{task['id']}/stop")
        delivered(service, task["id"])
    assert b'"run.stopped"' in server.seen[0].body


def test_news_of_a_killed_worker_is_told_by_the_next(own_service: Service) -> None:
    """The worker dies after the run ended and before its callback arrived: the receiver holds it until then."""
    own_service.environment.update(CALLBACK_TIMEOUT="2", CALLBACK_PAUSES="1,1")
    own_service.start("redis", "api", "worker", "beat")

    def holds(*_: Any) -> bytes | None:
        server.over.wait(20)
        return None

    with receiver(holds) as server:
        task = own_service.code(QUICK, callback={"url": server.url()})
        wait_for("the first try", lambda: server.seen)
        own_service.kill("worker")
        assert own_service.task(task["id"])["status"] == "succeeded"
        port = server.port
    with receiver(port=port) as again:
        own_service.start("worker")
        (log,) = delivered(own_service, task["id"])
    assert [one["error"] for one in log["tries"]] == ["worker_lost", None]
    assert again.seen[0].headers["webhook-id"] == server.seen[0].headers["webhook-id"] == f"{task['id']}_1"
    assert again.seen[0].body == server.seen[0].body


def test_news_of_runs_that_no_worker_was_there_to_tell_waits_for_one(own_service: Service) -> None:
    """A worker is killed with a run in progress; Beat finds it lost, and the next worker says so."""
    own_service.start("redis", "api", "worker", "beat")

    def hangs(*_: Any) -> bytes | None:
        target.over.wait(60)
        return None

    with receiver(hangs) as target, receiver() as server:
        task = own_service.submit(api_url=target.url(), timeout=60, callback={"url": server.url(), "events": ["lost"]})
        wait_for("the call", lambda: target.seen)
        own_service.kill("worker")
        assert own_service.finished(task["id"], seconds=60)["status"] == "lost"
        assert server.seen == []
        own_service.start("worker")
        delivered(own_service, task["id"])
    assert b'"run.lost"' in server.seen[0].body


def test_a_receiver_that_was_down_and_a_redis_that_was_restarted(own_service: Service) -> None:
    own_service.environment["CALLBACK_PAUSES"] = ",".join(["0.5"] * 50)
    own_service.start("redis", "api", "worker", "beat")
    port = free_port()
    task = own_service.code(QUICK, callback={"url": f"http://127.0.0.1:{port}/"})
    wait_for("a try", lambda: own_service.call("GET", f"/api/tasks/{task['id']}/callbacks").json()["callbacks"][:1])
    own_service.kill("redis", signal.SIGTERM)
    own_service.start("redis")
    with receiver(port=port) as server:
        (log,) = delivered(own_service, task["id"])
    assert log["tries"][0]["error"] == "connect_failed"
    assert len(server.seen) == 1


def test_runs_go_on_while_receivers_hang(service: Service) -> None:
    def hangs(*_: Any) -> bytes | None:
        server.over.wait(60)
        return None

    with receiver(hangs) as server:
        for _ in range(20):
            service.code(QUICK, callback={"url": server.url()})
        wait_for("callbacks that hang", lambda: server.connections >= 8)
        assert service.finished(service.code(QUICK)["id"])["status"] == "succeeded"
        assert server.connections == 8, "a quarter of CALLBACK_CONCURRENCY"


def test_no_secret_is_in_the_logs(service: Service) -> None:
    with receiver(lambda *_: answer(status=410)) as server:
        task = service.code(QUICK, callback={"url": server.url("/hook?token=hunter2")})
        delivered(service, task["id"], status="failed")
    logs = "".join(path.read_text(encoding="utf-8") for path in (service.folder / "logs").iterdir() if path.is_file())
    logs += "".join(path.read_text(encoding="utf-8") for path in service.folder.glob("*.out"))
    assert f"task run {task['id']}.1: callback given up after try 1: gone" in logs
    for hidden in (secret(service).removeprefix("whsec_"), "hunter2", server.seen[0].headers["webhook-signature"]):
        assert hidden not in logs


def commands() -> list[tuple[str, tuple[str, ...]]]:
    return [("python", (sys.executable, "-u", "-c")), ("javascript", (shutil.which("node") or "", "-e"))]


@pytest.mark.parametrize(("language", "command"), commands(), ids=["python", "javascript"])
def test_the_receivers_of_the_page_work(
    service: Service, tmp_path: Path, language: str, command: tuple[str, ...]
) -> None:
    if not command[0]:
        pytest.skip("there is no Node.js here")
    (source,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    port = free_port()
    environment = {**os.environ, "PORT": str(port), "CALLBACK_SECRET": secret(service)}
    printed = tmp_path / "printed"
    with printed.open("wb") as out:
        process = subprocess.Popen([*command, source], env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_for("the receiver", lambda: _listens(port))
        task = service.code(QUICK, name="a report", callback={"url": f"http://127.0.0.1:{port}/"})
        (log,) = delivered(service, task["id"])
        assert log["tries"][-1]["status_code"] == 204
        # Once more: it is taken, and the work is not done twice.
        again = f"/api/tasks/{task['id']}/callbacks/{task['id']}.1/redeliver"
        assert service.call("POST", again).status_code == 202
        wait_for("the second delivery", lambda: len(delivered(service, task["id"])[0]["tries"]) == 2)
        assert printed.read_text(encoding="utf-8").count("run.succeeded a report") == 1
        # Who has another secret is refused, whatever the language.
        forged = Webhook("whsec_" + "QUFB" * 10)
        status = _send(port, forged)
        assert status == 401
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _send(port: int, webhook: Webhook) -> int:
    from datetime import datetime

    import requests

    now, body = datetime.now(tz=UTC), '{"type": "run.succeeded", "data": {}}'
    headers = {
        "webhook-id": "forged_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": webhook.sign("forged_1", now, body),
    }
    return requests.post(f"http://127.0.0.1:{port}/", data=body, headers=headers, timeout=10).status_code
