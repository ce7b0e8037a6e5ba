"""What keeps browsers from being used against the API: headers, who may call from which page, and by which name."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from flask import Flask, Response, request

from config.settings import Settings
from tasks.errors import Forbidden

#: On every answer, unless a view has its own.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
#: What pages of CORS_ORIGINS may send and read. Never cookies: the API has none.
MAY_SEND = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, X-API-Key, "
    "X-Request-Id"
)
MAY_READ = (
    "ETag, Idempotency-Replayed, Link, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, "
    "X-Request-Id"
)
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
#: Seconds for which a browser remembers that it may.
REMEMBERED = 600


class Browsers:
    """The rules of one application."""

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(settings.cors_origins)
        self._hosts = frozenset(host.lower() for host in settings.allowed_hosts)
        self._tokens_needed = settings.auth_is_required

    def register(self, app: Flask) -> None:
        """Apply them to every request, before anybody asks who sends it."""
        app.before_request(self._preflight)
        app.before_request(self._refuse_borrowed)
        app.after_request(self._dress)

    def _preflight(self) -> Response | None:
        """Answer the question of a browser whether a page may send a request."""
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        if request.headers.get("Origin") not in self._origins:
            raise Forbidden("Pages of this origin may not call the API; see CORS_ORIGINS.", code="origin_not_allowed")
        answer = Response(status=204)
        answer.headers["Access-Control-Allow-Methods"] = METHODS
        answer.headers["Access-Control-Allow-Headers"] = MAY_SEND
        answer.headers["Access-Control-Max-Age"] = str(REMEMBERED)
        return answer

    def _refuse_borrowed(self) -> None:
        """Refuse what a strange page has made a browser send to a service that asks nobody for a token.

        Such a page can send requests to loopback, and after it has pointed its own name there (DNS rebinding) it can
        read the answers. A token cannot be borrowed like this, so whoever sends one is let through.
        """
        if self._tokens_needed or "Authorization" in request.headers or "X-API-Key" in request.headers:
            return
        if not self.is_known(request.host):
            text = "The API is not called by this name; see ALLOWED_HOSTS."
            raise Forbidden(text, code="host_not_allowed")
        origin = request.headers.get("Origin")
        if origin is None or origin in self._origins or urlsplit(origin).netloc.lower() == request.host.lower():
            return
        raise Forbidden("Pages of this origin may not call the API; see CORS_ORIGINS.", code="origin_not_allowed")

    def is_known(self, host: str) -> bool:
        """Whether nobody outside can have made this name lead here: addresses, undotted names, and ALLOWED_HOSTS."""
        name = _name(host)
        return name is None or "." not in name or name.endswith(".localhost") or name in self._hosts

    def _dress(self, response: Response) -> Response:
        there = {name.lower() for name, _ in response.headers}
        response.headers.extend([(name, value) for name, value in HEADERS.items() if name.lower() not in there])
        if self._origins:
            response.vary.add("Origin")
            origin = request.headers.get("Origin")
            if origin in self._origins:
                response.headers["Access-Control-Allow-Origin"] = origin
                response.headers["Access-Control-Expose-Headers"] = MAY_READ
                response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        return response


@lru_cache(maxsize=1000)
def _name(host: str) -> str | None:
    """The name in a Host header, without its port; None for an address."""
    try:
        ipaddress.ip_address((urlsplit(f"//{host}").hostname or "").rstrip("."))
    except ValueError:
        name = host.rpartition(":")[0] or host if host.rpartition(":")[2].isdigit() else host
        return name.lower().rstrip(".")
    return None
