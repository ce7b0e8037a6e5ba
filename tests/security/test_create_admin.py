"""`python start.py create-admin` makes an administrator, and says why not where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from access.passwords import Passwords
from access.users import Users
from tasks.principal import Role
from tasks.store import Store
from tasks.store.accounts import Accounts
from tests.integration.service import free_port
from tests.make import make_settings
from tests.valkey import Valkey

ROOT = Path(__file__).parents[2]


def run(folder: Path, port: int, typed: str, *words: str) -> tuple[int, str, str]:
    environment = {**os.environ, "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(port), "DATA_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "start.py", "create-admin", *words],
        cwd=ROOT, env=environment, input=typed, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def port() -> int:
    return free_port()


def test_an_administrator_is_made_and_given_a_new_password(tmp_path: Path, port: int) -> None:
    with Valkey(tmp_path / "redis", "--port", str(port), "--bind", "127.0.0.1") as own:
        code, out, err = run(tmp_path, port, "a long pass phrase\n", "Olga")
        assert (code, out, err) == (0, "olga is an administrator and can log in at /api/auth/login.\n", "")
        store = Store(own.url, timeout=5)
        accounts = Accounts(store.connection)
        users = Users(accounts, make_settings(tmp_path), Passwords())
        assert users.check("olga", "a long pass phrase")[0].role is Role.ADMIN
        accounts.create_user("otto", Role.ADMIN, "x")
        accounts.change_user("olga", role=Role.VIEWER, disabled=True)
        again = run(tmp_path, port, "another long pass phrase\r\n", "olga")
        assert again[:2] == (0, "olga, viewer before, is an administrator and can log in at /api/auth/login.\n")
        assert users.check("olga", "another long pass phrase")[0].role is Role.ADMIN
        assert run(tmp_path, port, "short\n", "olga")[::2] == (1, "The password must have at least 12 characters.\n")
        assert run(tmp_path, port, "a long pass phrase", "a b")[0] == 1
        store.close()


def test_it_says_what_to_do_where_redis_is_away(tmp_path: Path, port: int) -> None:
    code, _, err = run(tmp_path, port, "a long pass phrase\n")
    assert code == 1
    assert "start the service first" in err
    assert "Traceback" not in err
