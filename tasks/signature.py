"""Signatures of callbacks after Standard Webhooks (standardwebhooks.com), and the secrets that make them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

from config.keys import secret_key
from config.settings import Settings
from tasks.store.deliveries import Generation
from tasks.vault import derived

#: Milliseconds for which the secret before also signs, so that receivers can change at their leisure.
OVERLAP = 86_400_000
#: In front of a secret, so that it is known for what it is.
PREFIX = "whsec_"


class Signer:
    """Makes each owner's signing secret of SECRET_KEY: nothing is stored that could be lost or read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def secret(self, owner: str, generation: Generation) -> str:
        """The secret in use, as its owner gives it to his receivers."""
        return _shown(_secret(secret_key(self._settings), owner, generation.number))

    def headers(self, owner: str, generation: Generation, *, name: str, now: int, body: str) -> dict[str, str]:
        """The three headers that sign `body`, sent at `now` (ms) under the id `name`."""
        seconds = now // 1000
        signed = f"{name}.{seconds}.{body}".encode()
        signatures = [
            base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
            for key in self._keys(owner, generation, now)
        ]
        return {
            "webhook-id": name,
            "webhook-timestamp": str(seconds),
            "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
        }

    def _keys(self, owner: str, generation: Generation, now: int) -> Sequence[bytes]:
        """What signs: the secret in use, then those it has replaced of late."""
        numbers = [generation.number]
        if generation.since is not None and now - generation.since < OVERLAP:
            numbers.append(generation.number - 1)
        previous = self._settings.secret_key_previous
        roots = [secret_key(self._settings), *([previous.get_secret_value()] if previous else [])]
        return [_secret(root, owner, number) for root in roots for number in numbers]


def _secret(root: str, owner: str, number: int) -> bytes:
    return derived(root, f"tms callbacks\n{number}\n{owner}")


def _shown(secret: bytes) -> str:
    return PREFIX + base64.b64encode(secret).decode()
