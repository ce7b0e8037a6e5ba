"""Users: who there is, and who has shown that he is one of them."""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Sequence

from access.errors import AccountConflict, AccountNotFound, InvalidAccount
from access.passwords import Passwords
from config.settings import USERNAME, Settings
from config.strength import password_fault
from tasks import principal
from tasks.errors import FieldProblem, NotAllowed
from tasks.principal import Role
from tasks.store.accounts import Accounts, User

log = logging.getLogger(__name__)

_NAME = re.compile(USERNAME)
#: What is said of a name that cannot be given, by what the Store answered.
TAKEN = {
    "taken": "There is a user of this name.",
    "former": "There was a user of this name, whose tasks still bear it; take another name.",
}


class Users:
    """The verbs. Names are compared in lower case."""

    def __init__(self, accounts: Accounts, settings: Settings, hasher: Passwords) -> None:
        self._accounts = accounts
        self._settings = settings
        self._passwords = hasher

    def check(self, name: str, password: str) -> tuple[User, str]:
        """The user with this password, and the hash it was checked against. Raises NotAllowed (`login_refused`).

        One password is checked whether or not there is such a user, so that the time taken tells nothing.
        """
        name = name.lower()
        found = self._accounts.user(name) if _NAME.fullmatch(name) else None
        if found is None and self._is_first_admin(name, password):
            found = self._accounts.user(name)
        fits = self._passwords.fits(password, found[1] if found else None)
        if found is None or not fits or found[0].disabled:
            raise NotAllowed("The username or the password is wrong.", code="login_refused")
        user, kept = found
        if self._passwords.is_dated(kept):
            fresh = self._passwords.hash(password)
            self._accounts.rehash(name, kept, fresh)
            kept = fresh
        return user, kept

    def _is_first_admin(self, name: str, password: str) -> bool:
        """Make the administrator of the settings, where it is he and there is none yet."""
        given = self._settings.admin_password
        if given is None or name != self._settings.admin_username.lower():
            return False
        if not hmac.compare_digest(password.encode("utf-8", "replace"), given.get_secret_value().encode()):
            return False
        answer = self._accounts.create_user(name, Role.ADMIN, self._passwords.hash(password), only_first_admin=True)
        if answer == "created":
            log.warning("user %s made from ADMIN_USERNAME and ADMIN_PASSWORD, the first administrator", name)
        return answer == "created"

    def create(self, name: str, password: str, role: Role) -> User:
        """Add a user. Raises InvalidAccount, AccountConflict."""
        name = name.lower()
        if problems := faults_of(name, password):
            raise InvalidAccount(problems)
        answer = self._accounts.create_user(name, role, self._passwords.hash(password))
        if answer != "created":
            raise AccountConflict(TAKEN[answer], code=f"name_{answer}")
        log.info("user %s created: %s", name, role)
        return self.get(name)

    def set_admin(self, name: str, password: str) -> Role | None:
        """Make `name` an administrator with this password; the role he had, None where he is new.

        Raises InvalidAccount.
        """
        name = name.lower()
        found = self._accounts.user(name)
        if found is None:
            self.create(name, password, Role.ADMIN)
            return None
        self.change(name, role=Role.ADMIN, password=password, disabled=False)
        return found[0].role

    def get(self, name: str) -> User:
        """One user. Raises AccountNotFound."""
        found = self._accounts.user(name.lower()) if _NAME.fullmatch(name) else None
        if found is None:
            raise AccountNotFound(f"There is no user {name[:64]}.")
        return found[0]

    def list(self, *, limit: int, after: str = "") -> tuple[Sequence[User], str | None]:
        """A page of users by name; the name to go on after."""
        return self._accounts.users(limit=limit, after=after.lower())

    def change(
        self, name: str, *, role: Role | None = None, password: str | None = None, disabled: bool | None = None
    ) -> User:
        """Change a user; a new password and being disabled end his sessions.

        Raises AccountNotFound, InvalidAccount, AccountConflict (`last_admin`).
        """
        name = self.get(name).name
        hashed = ""
        if password is not None:
            if fault := password_fault(password, name):
                raise InvalidAccount([FieldProblem(pointer="/password", code="too_weak", message=fault)])
            hashed = self._passwords.hash(password)
        answer = self._accounts.change_user(name, role=role, password_hash=hashed, disabled=disabled)
        self._refuse(name, answer)
        log.info("user %s changed", name)
        return self.get(name)

    def change_own_password(self, name: str, old: str, new: str) -> None:
        """Change a password, knowing the old one. Raises NotAllowed, InvalidAccount."""
        self.check(name, old)
        if fault := password_fault(new, name):
            raise InvalidAccount([FieldProblem(pointer="/new_password", code="too_weak", message=fault)])
        self._refuse(name, self._accounts.change_user(name, password_hash=self._passwords.hash(new)))
        log.info("user %s changed his password", name)

    def delete(self, name: str) -> None:
        """Remove a user with his keys and secrets; his tasks stay. Raises AccountNotFound, AccountConflict."""
        name = self.get(name).name
        self._refuse(name, self._accounts.delete_user(name))
        log.info("user %s deleted", name)

    @staticmethod
    def _refuse(name: str, answer: str) -> None:
        if answer == "missing":
            raise AccountNotFound(f"There is no user {name[:64]}.")
        if answer == "last_admin":
            text = "This is the last administrator: make another one first."
            raise AccountConflict(text, code="last_admin")


def faults_of(name: str, password: str) -> Sequence[FieldProblem]:
    """All that stands in the way of a user of this name with this password."""
    problems = []
    if not _NAME.fullmatch(name.lower()) or name.lower() in principal.RESERVED_NAMES:
        text = "must be 1 to 64 letters, digits and ._@- and not one of the service's own names."
        problems.append(FieldProblem(pointer="/username", code="invalid", message=text))
    if fault := password_fault(password, name):
        problems.append(FieldProblem(pointer="/password", code="too_weak", message=fault))
    return problems
