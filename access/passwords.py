"""Passwords: how they are hashed (argon2id, RFC 9106), and how many of them at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tasks.errors import TooMuch

#: Each hash takes 64 MiB for a fifth of a second: more at once would only make all of them slower.
AT_ONCE = 2
#: Seconds that a login waits for its turn.
PATIENCE = 5.0


class Passwords:
    """Hashes and checks; the same work is done whether or not there is a user."""

    def __init__(self) -> None:
        # The second choice of RFC 9106 §4 is what argon2-cffi takes by default.
        self._hasher = PasswordHasher()
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        #: How many were checked, for the test that counts them.
        self.checked = 0
        self._nobody: str | None = None

    def hash(self, password: str) -> str:
        """The hash to keep. Raises TooMuch where too many wait for one."""
        with self._turn():
            return self._hasher.hash(password)

    def fits(self, password: str, kept: str | None) -> bool:
        """Whether `kept` is the hash of `password`; for None, nobody's hash, as much is done as for another."""
        if self._nobody is None:
            self._nobody = self.hash("nobody's password")
        with self._turn():
            self.checked += 1
            try:
                self._hasher.verify(kept or self._nobody, password)
            except (VerificationError, InvalidHashError):
                return False
            return kept is not None

    def is_dated(self, kept: str) -> bool:
        """Whether a hash was made with weaker parameters than those of now."""
        return self._hasher.check_needs_rehash(kept)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=PATIENCE):
            raise TooMuch("Too many logins at once; try again.", code="logins_busy", retry_after=5)
        try:
            yield
        finally:
            self._turns.release()
