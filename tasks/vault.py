"""The vault: users' secrets as they are kept, readable with SECRET_KEY only."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12


class Unreadable(Exception):
    """Sealed with another key, or for another owner or name, or changed since."""


class Vault:
    """Seals and opens secrets with AES-256-GCM, each bound to its owner and name.

    The key comes from SECRET_KEY by HKDF (RFC 5869); nonces are random, as NIST SP 800-38D §8.2.2 has it.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        """The first of `keys` seals; all of them open."""
        self._ciphers = [AESGCM(derived(key, "tms secrets of users")) for key in keys]

    def seal(self, owner: str, name: str, value: str) -> str:
        """`value` as base64 that says nothing without the key."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[0].encrypt(nonce, value.encode(), _bound(owner, name))
        return base64.b64encode(nonce + sealed).decode()

    def open(self, owner: str, name: str, sealed: str) -> str:
        """The value. Raises Unreadable."""
        try:
            data = base64.b64decode(sealed, validate=True)
        except ValueError:
            raise Unreadable from None
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], _bound(owner, name)).decode()
            except (InvalidTag, ValueError):
                continue
        raise Unreadable


def derived(key: str, purpose: str) -> bytes:
    """A key of 32 bytes made of SECRET_KEY for one purpose and no other (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(key.encode())


def _bound(owner: str, name: str) -> bytes:
    return f"{owner}\n{name}".encode()
