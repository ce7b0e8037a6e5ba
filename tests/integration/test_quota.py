"""Two owners and a real worker: one who wants more than QUOTA_RUNS waits for himself, and the other does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.service import Service, wait_for
from tests.integration.sink import Sink

PASSWORD = "right horse, wrong staple"
MOST = 2


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    settings = {"AUTH_REQUIRED": "true", "ADMIN_PASSWORD": PASSWORD, "QUOTA_RUNS": str(MOST)}
    service = Service(tmp_path, **settings)
    try:
        service.start("redis", "api", "worker", "beat")
        yield service
    finally:
        service.stop()


def key_of(service: Service, name: str, admin: dict[str, str]) -> dict[str, str]:
    """Headers of a new operator's session."""
    sent = {"username": name, "password": f"{PASSWORD} {name}"}
    assert service.call("POST", "/api/users", json=sent, headers=admin).status_code == 201
    return log_in(service, **sent)


def log_in(service: Service, **sent: str) -> dict[str, str]:
    answer = service.call("POST", "/api/auth/login", json=sent)
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def submit(service: Service, who: dict[str, str], url: str, number: int) -> list[str]:
    one = {"name": "a call", "task_type": "immediate", "api_url": url}
    answer = service.call("POST", "/api/tasks/batch", json={"tasks": [one] * number}, headers=who)
    assert answer.status_code == 201, answer.text
    return [task["id"] for task in answer.json()["tasks"]]


def finished(service: Service, who: dict[str, str], ids: list[str]) -> list[dict[str, Any]]:
    def seen() -> list[dict[str, Any]] | None:
        tasks = [service.call("GET", f"/api/tasks/{task_id}", headers=who).json() for task_id in ids]
        return tasks if all(task["status"] == "succeeded" for task in tasks) else None

    return list(wait_for("the end of all", seen, seconds=60))


def test_one_owner_has_at_most_so_many_runs_at_once_and_another_does_not_wait_for_him(
    service: Service, sink: Sink
) -> None:
    admin = log_in(service, username="admin", password=PASSWORD)
    olga, stefan = key_of(service, "olga", admin), key_of(service, "stefan", admin)
    hers = submit(service, olga, f"{sink.url}/slow", 6)
    wait_for("those held back", lambda: service.call("GET", "/api/health").json()["queues"]["held"] == 4)
    his = submit(service, stefan, f"{sink.url}/at-once", 3)
    done = finished(service, stefan, his)
    waiting = service.call("GET", "/api/tasks?status=queued", headers=olga).json()["total"]
    assert waiting >= 2
    slow = finished(service, olga, hers)
    moments = sorted((when, step) for t in slow for when, step in ((t["started_at"], 1), (t["finished_at"], -1)))
    going = [sum(step for _, step in moments[: place + 1]) for place in range(len(moments))]
    assert max(going) == MOST
    assert max(task["finished_at"] for task in done) < max(task["started_at"] for task in slow)
    queues = service.call("GET", "/api/health").json()["queues"]
    assert (queues["held"], queues["http"], queues["running"]) == (0, 0, 0)
