"""`python start.py create-admin`: makes an administrator, or gives one a new password."""

from __future__ import annotations

import getpass
import sys

from access.errors import InvalidAccount
from access.passwords import Passwords
from access.users import Users
from config.settings import InvalidSettings, load
from tasks.errors import ServiceError, StoreUnavailable
from tasks.principal import Role
from tasks.store import Store
from tasks.store.accounts import Accounts


def create_admin(name: str | None) -> int:
    """Ask for a password, or take the first line of a standard input that is no terminal; the exit code."""
    try:
        settings = load()
    except InvalidSettings as error:
        return _refuse(f"These settings are wrong:\n{error}")
    name = name or settings.admin_username
    password = _ask(name) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if password is None:
        return _refuse("The two were not the same.")
    store = Store(settings.redis_address, timeout=5)
    try:
        was = Users(Accounts(store.connection), settings, Passwords()).set_admin(name, password)
    except InvalidAccount as error:
        return _refuse("\n".join(f"The {each.pointer[1:]} {each.message}" for each in error.problems))
    except StoreUnavailable as error:
        return _refuse(f"{error.message} It is looked for at {settings.redis_shown}: start the service first.")
    except ServiceError as error:
        return _refuse(error.message)
    finally:
        store.close()
    before = f", {was} before," if was and was is not Role.ADMIN else ""
    print(f"{name.lower()}{before} is an administrator and can log in at /api/auth/login.")
    return 0


def _ask(name: str) -> str | None:
    first = getpass.getpass(f"Password for {name}: ")
    return first if getpass.getpass("The same again: ") == first else None


def _refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
