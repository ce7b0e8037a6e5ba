"""Streams of events end with what let their reader in: a session, an API key, a user, a role."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.integration.service import Service, wait_for

PASSWORD = "right horse, wrong staple"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    wanted = {"AUTH_REQUIRED": "true", "ADMIN_PASSWORD": PASSWORD, "LOGIN_RATE_LIMIT": "1000/minute"}
    service = Service(tmp_path_factory.mktemp("streams"), **wanted)
    try:
        service.start("redis", "api")
        yield service
    finally:
        service.stop()


class Reader:
    """A user with a task that never begins, who follows it."""

    def __init__(self, service: Service, admin: dict[str, str], name: str, *, role: str, with_key: bool) -> None:
        self._service, self.name, self.admin = service, name, admin
        made = service.call(
            "POST", "/api/users", headers=admin, json={"username": name, "password": PASSWORD, "role": role}
        )
        assert made.status_code == 201, made.text
        self.token = logged_in(service, name)
        self.key: dict[str, Any] = self.post("/api/keys", name="a key")
        self.body = {"name": "later", "task_type": "delayed", "delay_seconds": 900, "api_url": "https://example.com/"}
        headers = {"X-API-Key": self.key["key"]} if with_key else self.token
        self.path = f"/api/tasks/{self.post('/api/tasks', **self.body)['id']}"
        url = f"{service.url}{self.path}/events"
        self.answer = requests.get(url, headers=headers, stream=True, timeout=60)
        assert self.answer.status_code == 200
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def post(self, path: str, **fields: Any) -> dict[str, Any]:
        answer = self._service.call("POST", path, headers=self.token, json=fields)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def read(self) -> None:
        for _ in self.answer.iter_lines(chunk_size=1):
            pass

    def change(self, method: str, path: str, who: dict[str, str] | None = None, **body: Any) -> None:
        answer = self._service.call(method, path, headers=who or self.admin, **({"json": body} if body else {}))
        assert answer.status_code < 300, answer.text


def logged_in(service: Service, name: str) -> dict[str, str]:
    answer = service.call("POST", "/api/auth/login", json={"username": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


Leaving = Callable[[Reader], None]
WAYS: dict[str, tuple[bool, str, Leaving]] = {
    "logged-out": (False, "operator", lambda who: who.change("POST", "/api/auth/logout", who.token)),
    "key-revoked": (True, "operator", lambda who: who.change("DELETE", f"/api/keys/{who.key['id']}")),
    "disabled": (True, "operator", lambda who: who.change("PATCH", f"/api/users/{who.name}", disabled=True)),
    "deleted": (True, "operator", lambda who: who.change("DELETE", f"/api/users/{who.name}")),
    "new-password": (
        *(False, "operator"),
        lambda who: who.change("PATCH", f"/api/users/{who.name}", password=f"{PASSWORD}!"),
    ),
    "lower-role": (False, "admin", lambda who: who.change("PATCH", f"/api/users/{who.name}", role="operator")),
}


def test_a_stream_ends_with_what_let_its_reader_in(service: Service) -> None:
    admin = logged_in(service, "admin")
    stays = Reader(service, admin, "stays", role="operator", with_key=False)
    readers = {
        name: Reader(service, admin, name, role=role, with_key=with_key) for name, (with_key, role, _) in WAYS.items()
    }
    for name, (_, _, leave) in WAYS.items():
        assert readers[name].thread.is_alive()
        leave(readers[name])
    for name, reader in readers.items():
        wait_for(f"the end of the stream of {name}", lambda reader=reader: not reader.thread.is_alive(), seconds=15)
    assert stays.thread.is_alive()
    stays.change("DELETE", stays.path)
    wait_for("the end of the task", lambda: not stays.thread.is_alive())
