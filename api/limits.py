"""Rate limits: how many requests one user, one API key or one address may make."""

from __future__ import annotations

import hashlib
import math

from flask import Flask, Response, g, request

from access import rate
from access.rate import Rate
from api import identity
from api.identity import Gate
from config.settings import Settings
from tasks.errors import NotAllowed, TooMuch
from tasks.store.accounts import Accounts, Allowance

#: Logins for one name, from wherever, for each one that one address is allowed: so that many addresses do not help.
FOR_ONE_NAME = 3


class Limits:
    """Counts requests in Redis. Without Redis there is nothing to protect: the request fails with 503 anyway."""

    def __init__(self, accounts: Accounts, settings: Settings) -> None:
        self._accounts = accounts
        self._rate = rate.parse(settings.request_rate) if settings.request_rate else None
        self._login = rate.parse(settings.login_rate_limit)

    def register(self, app: Flask, gate: Gate) -> None:
        """Count every request that is not open to everybody, also one whose sender does not show who he is."""

        def admit() -> None:
            try:
                gate.identify()
            except NotAllowed:
                self._count(None)
                raise
            if not identity.is_open():
                self._count(_name(g.principal.name, g.principal.key))
            elif request.blueprint == "auth":
                self._count(None)

        app.before_request(admit)
        app.after_request(_tell)

    def count_login(self, name: str) -> None:
        """Count a login, before anything is hashed for it. Raises TooMuch."""
        digest = hashlib.sha256(name.lower().encode("utf-8", "replace")).hexdigest()[:32]
        by_name = Rate(requests=self._login.requests * FOR_ONE_NAME, seconds=self._login.seconds)
        self._judge([(f"login:{rate.place(request.remote_addr)}", self._login), (f"login:name:{digest}", by_name)])

    def _count(self, who: str | None) -> None:
        if self._rate is None:
            return
        buckets = [(f"address:{rate.place(request.remote_addr)}", self._rate)]
        if who is not None:
            buckets.append((who, self._rate))
        self._judge(buckets)

    def _judge(self, buckets: list[tuple[str, Rate]]) -> None:
        allowance = self._accounts.count([(name, each.requests, each.seconds * 1000) for name, each in buckets])
        g.allowance = (allowance, next(each for _, each in buckets if each.requests == allowance.limit))
        if not allowance.allowed:
            seconds = max(1, math.ceil(allowance.wait / 1000))
            text = f"Too many requests: try again in {seconds} s."
            raise TooMuch(text, code="rate_limited", retry_after=seconds)


def _name(user: str, key: str | None) -> str:
    return f"key:{key}" if key else f"user:{user}"


def _tell(response: Response) -> Response:
    """The headers of draft-ietf-httpapi-ratelimit-headers, and the three that came before them."""
    told: tuple[Allowance, Rate] | None = g.get("allowance")
    if told is not None:
        allowance, each = told
        reset = math.ceil(allowance.reset / 1000)
        response.headers["RateLimit-Policy"] = f'"default";q={each.requests};w={each.seconds}'
        response.headers["RateLimit"] = f'"default";r={allowance.left};t={reset}'
        response.headers["RateLimit-Limit"] = str(each.requests)
        response.headers["RateLimit-Remaining"] = str(allowance.left)
        response.headers["RateLimit-Reset"] = str(reset)
    return response
