"""Who asks: every request is given a Principal before its view, or refused."""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Flask, g, request

from access.keys import ApiKeys
from api.tokens import Tokens
from tasks.errors import NotAllowed, StoreUnavailable
from tasks.principal import ANONYMOUS, Principal

#: Seconds after which it is asked again who follows or waits for a task.
AGAIN = 1.0

#: What is answered to everybody, by endpoint or blueprint. Everything else wants somebody.
OPEN = frozenset({"health", "openapi", "root", "auth.login", "auth.refresh"})
HOW = "Log in at /api/auth/login and send the token as: Authorization: Bearer …"


def current() -> Principal:
    """Who asks in this request. Raises NotAllowed where nobody was asked to say so: an open call has no principal."""
    who: Principal | None = g.get("principal")
    if who is None:
        raise NotAllowed(HOW, code="token_required")
    return who


def is_open() -> bool:
    """Whether this request is answered to everybody."""
    return request.endpoint in OPEN or request.blueprint in OPEN


def until_gone(leaving: Callable[[], bool]) -> Callable[[], bool]:
    """Whether `leaving`, or whoever asks in this request is not let in any more as the one that he was.

    For answers that go on after their request was judged; it need not be called in the request.
    """
    who, ask = current(), g.get("ask_again")
    asked, gone = time.monotonic(), False

    def over() -> bool:
        nonlocal asked, gone
        if ask is not None and not gone and time.monotonic() - asked >= AGAIN:
            asked = time.monotonic()
            try:
                gone = ask() != who
            except NotAllowed:
                gone = True
            except StoreUnavailable:
                pass  # nothing can be told meanwhile
        return gone or leaving()

    return over


class Gate:
    """Finds out who asks."""

    def __init__(self, tokens: Tokens, keys: ApiKeys, *, required: bool) -> None:
        self._tokens = tokens
        self._keys = keys
        self._required = required

    def register(self, app: Flask) -> None:
        """Ask before every view."""
        app.before_request(self.identify)

    def identify(self) -> None:
        """Note who asks. Raises NotAllowed where he does not show it, or shows something wrong."""
        if is_open():
            return
        sent = credential()
        if sent is None:
            if self._required:
                raise NotAllowed(HOW, code="token_required")
            g.principal = ANONYMOUS
        elif sent.startswith("tms_"):
            g.principal, g.ask_again = self._keys.check(sent), lambda: self._keys.check(sent)
        else:
            who = g.principal = self._tokens.who(sent)
            g.ask_again = lambda: self._tokens.again(who)


def credential() -> str | None:
    """What the request brings to show who sends it: the one bearer token or API key. Raises NotAllowed for more."""
    authorization, key = request.headers.get("Authorization"), request.headers.get("X-API-Key")
    if authorization is not None and key is not None:
        raise NotAllowed("Send a token or an API key, not both.", code="token_invalid")
    if key is not None:
        if not key.startswith("tms_"):
            raise NotAllowed("This API key is not valid: it is wrong, expired or revoked.", code="key_refused")
        return key
    if authorization is None:
        return None
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "bearer" or not value.strip():
        raise NotAllowed(HOW, code="token_required")
    return value.strip()
