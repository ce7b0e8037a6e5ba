"""The keyring: what users' secrets are called, and their values for the attempt that needs them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from config.keys import secret_key
from config.settings import Settings
from tasks import confidential
from tasks.base_tasks import Kind, Spec
from tasks.confidential import Mask
from tasks.errors import ReceiptTaken, SecretNotFound, TooMuch
from tasks.model import Failed
from tasks.store import Claim, Store
from tasks.store.secrets import Secret
from tasks.vault import Unreadable, Vault

#: Secrets that one owner may have.
MOST_SECRETS = 100
#: Characters of a secret: fewer could not be masked without masking half of what a task says.
LEAST, MOST = 4, 8192
#: Characters of secrets that one attempt is given: a placeholder is short, and there may be tens of thousands of them.
MOST_FILLED = 262_144
#: In front of an answer that is kept sealed; others are JSON.
SEALED = "sealed:"
_NAME = re.compile(confidential.NAME)


class Locked(Exception):
    """An attempt cannot be made for want of a secret; holds how it failed."""

    def __init__(self, failure: Failed) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Keyring:
    """Keeps secrets sealed, and fills them in where a task is done."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._secrets, self._owner_of = store.secrets, store.owner
        self._settings = settings
        self._vault: Vault | None = None

    def put(self, owner: str, name: str, value: str) -> bool:
        """Keep a secret; whether it is new. Raises TooMuch."""
        made = self._secrets.put(owner, name, self._opener.seal(owner, name, value), most=MOST_SECRETS)
        if made is None:
            text = f"You have {MOST_SECRETS} secrets, which is all that you may have: delete some."
            raise TooMuch(text, code="quota_exceeded")
        return made

    def list(self, owner: str) -> list[Secret]:
        """Their names and times, by name."""
        return self._secrets.list(owner)

    def delete(self, owner: str, name: str) -> None:
        """Forget a secret. Raises SecretNotFound."""
        if not self._secrets.delete(owner, name):
            raise SecretNotFound(f"You have no secret {name[:64]}.")

    def sealed(self, receipt: str, answer: str) -> str:
        """An answer that holds a secret, as a receipt keeps it."""
        return SEALED + self._opener.seal("receipt", receipt, answer)

    def opened(self, receipt: str, kept: str) -> str:
        """The answer that a receipt keeps. Raises ReceiptTaken where SECRET_KEY was changed."""
        if not kept.startswith(SEALED):
            return kept
        try:
            return self._opener.open("receipt", receipt, kept.removeprefix(SEALED))
        except Unreadable:
            text = "It was done, and its answer cannot be read any more, for SECRET_KEY was changed."
            raise ReceiptTaken(text) from None

    def unlock(self, claim: Claim, kind: Kind) -> tuple[Spec, Mask, bool]:
        """The spec with its secrets, what masks them, and whether there are any.

        Raises Locked where one is missing or cannot be used, and StoreUnavailable.
        """
        wanted = confidential.names({name: claim.spec.get(name) for name in kind.secret_fields})
        if not wanted:
            return kind.Spec.model_validate(claim.spec), Mask(), False
        values = self._values(self._owner_of(claim.run_id.rpartition(".")[0]) or "", wanted)
        _check_size(claim.spec, kind, values)
        spec = {
            name: confidential.filled(value, values) if name in kind.secret_fields else value
            for name, value in claim.spec.items()
        }
        valid = _validated(kind, spec)
        return valid, Mask([*values.values(), *kind.secret_texts(valid)]), True

    def _values(self, owner: str, wanted: Collection[str]) -> dict[str, str]:
        sealed = self._secrets.read(owner, sorted(wanted))
        missing = sorted(wanted - sealed.keys())
        if missing:
            text = f"There is no secret {', '.join(missing)}: store it with PUT /api/secrets/{missing[0]}."
            raise Locked(Failed(code="secret_missing", message=text))
        values: dict[str, str] = {}
        for name, kept in sealed.items():
            try:
                values[name] = self._opener.open(owner, name, kept)
            except Unreadable:
                text = f"The secret {name} was stored under another SECRET_KEY: store it again."
                raise Locked(Failed(code="secret_unreadable", message=text)) from None
        return values

    @property
    def _opener(self) -> Vault:
        if self._vault is None:
            previous = self._settings.secret_key_previous
            older = [previous.get_secret_value()] if previous else []
            self._vault = Vault([secret_key(self._settings), *older])
        return self._vault


def _check_size(spec: Mapping[str, Any], kind: Kind, values: Mapping[str, str]) -> None:
    added = sum(confidential.added(spec.get(name), values) for name in kind.secret_fields)
    if added > MOST_FILLED:
        text = f"Its secrets would come to {added} characters, each as often as it is named; at most {MOST_FILLED} may."
        raise Locked(Failed(code="secret_unusable", message=text))


def _validated(kind: Kind, spec: Mapping[str, Any]) -> Spec:
    # The error itself would quote the value.
    try:
        valid = kind.Spec.model_validate(spec)
    except ValueError:
        text = "With its secrets filled in, the task is not valid."
        raise Locked(Failed(code="secret_unusable", message=text)) from None
    found = kind.secret_problems(valid)
    if found:
        text = f"With its secrets filled in, `{found[0].pointer.lstrip('/')}` is not valid ({found[0].code})."
        raise Locked(Failed(code="secret_unusable", message=text))
    return valid


def is_name(text: str) -> bool:
    """Whether a secret can be called so."""
    return _NAME.fullmatch(text) is not None
