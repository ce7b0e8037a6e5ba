"""Access and refresh tokens (JWT, HS256): made and read here, good for as long as their session is."""

from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta
from typing import Any

from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import PyJWTError

from config import keys
from config.settings import Settings
from tasks.errors import NotAllowed
from tasks.principal import Principal, of_user
from tasks.store.accounts import Accounts

ISSUER = "task-management-system"
SESSION = "sid"


class Tokens:
    """The pairs of tokens of an application. They hold a session id, and nothing that would have to stay true."""

    def __init__(self, app: Flask, settings: Settings, accounts: Accounts) -> None:
        """Raises OSError where DATA_DIR cannot be written, in which development keeps the key that it makes."""
        self._accounts = accounts
        self._settings = settings
        self._key = _signing_key(keys.jwt_key(settings))
        self._keys = {_key_id(self._key): self._key}
        if settings.jwt_secret_key_previous is not None:
            previous = _signing_key(settings.jwt_secret_key_previous.get_secret_value())
            self._keys[_key_id(previous)] = previous
        app.config.update(
            JWT_SECRET_KEY=self._key,
            JWT_ALGORITHM="HS256",
            JWT_DECODE_ALGORITHMS=["HS256"],
            JWT_ENCODE_ISSUER=ISSUER,
            JWT_DECODE_ISSUER=ISSUER,
            JWT_ACCESS_TOKEN_EXPIRES=timedelta(seconds=settings.jwt_access_seconds),
            JWT_REFRESH_TOKEN_EXPIRES=timedelta(seconds=settings.jwt_refresh_seconds),
        )
        JWTManager(app).decode_key_loader(self._decode_key)

    def log_in(self, user: str, checked: str) -> dict[str, Any] | None:
        """A new session of a user whose password hash `checked` was right; None where that is not so any more."""
        session, refresh = uuid.uuid4().hex, uuid.uuid4().hex
        role = self._accounts.open_session(
            session, user, checked=checked, refresh=refresh, seconds=self._settings.jwt_refresh_seconds
        )
        return self._pair(user, session, refresh) if role else None

    def who(self, token: str) -> Principal:
        """Who sends this access token. Raises NotAllowed (`token_invalid`)."""
        told = self._read(token, "access")
        return self._of_session(str(told[SESSION]), told["sub"])

    def again(self, who: Principal) -> Principal:
        """Who came with a token, as he is now: an answer that has begun may outlast the token, but not the session.

        Raises NotAllowed (`token_invalid`).
        """
        return self._of_session(who.session or "", who.name)

    def _of_session(self, session: str, user: str) -> Principal:
        found = self._accounts.session(session)
        if found is None or found[0] != user:
            raise _refused("This token's session has ended; log in again.")
        return of_user(found[0], found[1], session=session)

    def refresh(self, token: str) -> tuple[str, dict[str, Any]]:
        """Whose refresh token it is, and the next pair. It is good once: a second time ends its session.

        Raises NotAllowed: `token_invalid`, and `token_reused` with the user's name as its details.
        """
        told = self._read(token, "refresh")
        session, following = str(told[SESSION]), uuid.uuid4().hex
        found = self._accounts.refresh_session(
            session, was=str(told["rid"]), now=following, seconds=self._settings.jwt_refresh_seconds
        )
        if found is None or found[0] != told["sub"]:
            raise _refused("This token's session has ended; log in again.")
        if found[1] is None:
            text = "This refresh token had been used before, so its session was ended; log in again."
            raise NotAllowed(text, code="token_reused", details=found[0])
        return found[0], self._pair(found[0], session, following)

    def log_out(self, session: str) -> None:
        """End a session with all its tokens."""
        self._accounts.end_session(session)

    def _pair(self, user: str, session: str, refresh: str) -> dict[str, Any]:
        header = {"kid": _key_id(self._key)}
        return {
            "access_token": create_access_token(user, additional_claims={SESSION: session}, additional_headers=header),
            "token_type": "Bearer",
            "expires_in": self._settings.jwt_access_seconds,
            "refresh_token": create_refresh_token(
                user, additional_claims={SESSION: session, "rid": refresh}, additional_headers=header
            ),
        }

    def _read(self, token: str, use: str) -> dict[str, Any]:
        try:
            told: dict[str, Any] = decode_token(token)
        except (JWTExtendedException, PyJWTError, ValueError):
            raise _refused("This token is not valid: it is wrong or expired.") from None
        if told.get("type") != use or SESSION not in told or not isinstance(told.get("sub"), str):
            raise _refused(f"This is not {'an access' if use == 'access' else 'a refresh'} token.")
        return told

    def _decode_key(self, header: dict[str, Any], _: dict[str, Any]) -> str:
        return self._keys.get(str(header.get("kid")), self._key)


def _refused(text: str) -> NotAllowed:
    return NotAllowed(text, code="token_invalid")


def _signing_key(secret: str) -> str:
    """A key of the length that HS256 wants (RFC 7518 §3.2), whatever the length of the secret."""
    return hashlib.sha256(f"tms access and refresh tokens:{secret}".encode()).hexdigest()


def _key_id(key: str) -> str:
    return hashlib.sha256(f"kid:{key}".encode()).hexdigest()[:8]
