"""What the tests of this folder share: the API where everybody has to say who he is, and sandboxes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.principal import Role
from tasks.sandbox import Sandbox
from tasks.store import Store
from tests.api import Api, make_api
from tests.security.attempts import EXTRA_MODULES

PASSWORD = "right horse, wrong staple"


class Guarded:
    """The application with tokens required, and users made without the work of hashing where none is wanted."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def user(self, name: str, role: Role = Role.OPERATOR) -> dict[str, str]:
        """Headers of a new user's API key, which has his role."""
        self.api.accounts.create_user(name, role, "no hash")
        return self.key(name, role)

    def key(self, name: str, role: Role = Role.OPERATOR, **over: Any) -> dict[str, str]:
        """Headers of another key of a user."""
        from access.keys import ApiKeys
        from tasks import principal

        who = principal.of_user(name, self.api.accounts.user(name)[0].role)  # type: ignore[index]
        fields = {"name": "a key", "role": role, "expires_at": None, **over}
        return {"X-API-Key": ApiKeys(self.api.accounts).create(who, **fields)[1]}

    def call(self, method: str, path: str, who: dict[str, str] | None = None, **options: Any) -> Any:
        """One request; `who` are the headers that say who sends it."""
        return self.api.call(method, path, headers={**(who or {}), **options.pop("headers", {})}, **options)

    def log_in(self, name: str, password: str = PASSWORD) -> Any:
        return self.call("POST", "/api/auth/login", json={"username": name, "password": password})


@pytest.fixture
def guarded(store: Store, tmp_path: Path) -> Iterator[Guarded]:
    """An API that wants tokens; its first administrator is `ada`."""
    api = make_api(
        store,
        tmp_path,
        auth_required=True,
        admin_username="Ada",
        admin_password=PASSWORD,
        login_rate_limit="1000/minute",
    )
    yield Guarded(api)
    api.close()


def bearer(token: str) -> dict[str, str]:
    """The headers that carry a token."""
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="session")
def plain() -> Iterator[Sandbox]:
    """As it is by default, with a short leash."""
    sandbox = Sandbox(memory_mb=128, cpu_seconds=2)
    yield sandbox
    sandbox.close()


@pytest.fixture(scope="session")
def everything() -> Iterator[Sandbox]:
    """With every module that SANDBOX_EXTRA_MODULES can add."""
    sandbox = Sandbox(memory_mb=256, cpu_seconds=15, extra_modules=EXTRA_MODULES)
    yield sandbox
    sandbox.close()
