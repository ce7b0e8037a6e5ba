"""The application of production with a real Store and real kinds; only the bell is one that nobody hears."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import Application, create_app, identity
from config.settings import Settings
from tasks.base_tasks import Kind, build_kinds
from tasks.store import Store
from tasks.store.accounts import Accounts
from tasks.task_manager import TaskManager
from tests.make import RecordedBell, code_body, make_settings


class Api:
    """What a test needs of it."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings
        self.kinds: dict[str, Kind] = build_kinds(settings)
        self.bell = RecordedBell()
        self.accounts = Accounts(store.connection)
        self.manager = TaskManager(
            store=store, bell=self.bell, kinds=self.kinds, settings=settings, who=identity.current
        )
        self.app: Application = create_app(settings, self.manager, self.kinds, self.accounts)
        self.client: FlaskClient = self.app.test_client()

    def call(self, method: str, path: str, **options: Any) -> TestResponse:
        """One request."""
        return self.client.open(path, method=method, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        """A POST with a JSON body."""
        return self.call("POST", path, **({} if body is None else {"json": body}), **options)

    def submit(self, **over: Any) -> dict[str, Any]:
        """A stored task, as the API answered."""
        answer = self.post("/api/tasks", code_body(**over))
        assert answer.status_code == 201, answer.text
        return dict(answer.json)

    def close(self) -> None:
        for kind in self.kinds.values():
            kind.close()


def make_api(store: Store, folder: Path, **over: Any) -> Api:
    """An API whose files are below `folder`; `over` are settings."""
    return Api(store, make_settings(folder, **over))
