"""API keys: made once, shown once, kept as a digest."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from collections.abc import Sequence

from access.errors import AccountConflict, AccountNotFound, InvalidAccount
from tasks.errors import FieldProblem, Forbidden, NotAllowed
from tasks.principal import KEY_ROLES, Principal, Role, of_key
from tasks.store.accounts import Accounts, ApiKey

log = logging.getLogger(__name__)

#: `tms_`, eight bytes that name the key, 32 that nobody can guess: enough that a plain digest protects them.
FORM = re.compile(r"tms_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
#: Keys that one user may have.
MOST = 100


class ApiKeys:
    """The verbs."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def check(self, sent: str) -> Principal:
        """Who sends this key. Raises NotAllowed (`key_refused`)."""
        form = FORM.fullmatch(sent)
        found = self._accounts.key(form[1], _digest(form[2])) if form else None
        if form is None or found is None:
            raise NotAllowed("This API key is not valid: it is wrong, expired or revoked.", code="key_refused")
        user, user_role, role = found
        return of_key(user, user_role, role, form[1])

    def create(self, who: Principal, *, name: str, role: Role, expires_at: int | None) -> tuple[ApiKey, str]:
        """A new key of whoever asks, and the only time that it can be seen. Raises Forbidden, InvalidAccount.

        A key cannot make keys: one that leaks could not be got rid of.
        """
        if who.key is not None:
            raise Forbidden("An API key cannot make API keys; log in with a password.", code="key_cannot_make_keys")
        if role not in KEY_ROLES[who.role]:
            text = f"must not be more than your own role, {who.role}."
            raise InvalidAccount([FieldProblem(pointer="/role", code="role_too_high", message=text)])
        key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        key = ApiKey(id=key_id, user=who.name, name=name, role=role, created_at=0, expires_at=expires_at, used_at=None)
        made = self._accounts.create_key(key, _digest(secret), most=MOST)
        if made == "missing":
            raise AccountConflict("Only users have API keys, and you did not log in as one.", code="no_user")
        if made == "too_many":
            raise AccountConflict(f"You have {MOST} API keys, which is all that you may have.", code="too_many_keys")
        log.info("key %s of %s created: %s", key_id, who.name, role)
        shown = ApiKey(**{**vars(key), "created_at": made})
        return shown, f"tms_{key_id}_{secret}"

    def list(self, user: str) -> Sequence[ApiKey]:
        """The keys of a user."""
        return self._accounts.keys(user)

    def delete(self, who: Principal, key_id: str) -> None:
        """Revoke a key: one's own, or anybody's for an administrator. Raises AccountNotFound."""
        known = re.fullmatch(r"[0-9a-f]{16}", key_id)
        if not known or not self._accounts.delete_key(key_id, "" if who.governs else who.name):
            raise AccountNotFound(f"There is no API key {key_id[:64]}.")
        log.info("key %s revoked by %s", key_id, who.name)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
