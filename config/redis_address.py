"""How Redis is written as one URL: a server, or the master that Sentinels watch."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode, urlsplit

#: `redis+sentinel://:password@sentinel1:26379,sentinel2:26379/0?master=mymaster`; tasks/store/sentinel.py reads it.
WATCHED = "redis+sentinel"
SENTINEL_PORT = 26379


def is_url(text: str) -> bool:
    """Whether this is the URL of a server.

    Nothing of a wrong one may be shown: a password with a slash in it would be taken for a port.
    """
    try:
        parts = urlsplit(text)
        well_formed = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    database = parts.path.removeprefix("/")
    return well_formed and parts.scheme in ("redis", "rediss") and (not database or database.isdecimal())


def sentinel(text: str) -> str:
    """The Sentinel as `host:port`, an IPv6 address in brackets. Raises ValueError."""
    try:
        parts = urlsplit(f"//{text}")
        port = SENTINEL_PORT if parts.port is None else parts.port
    except ValueError:
        port = 0
    if not port or not parts.hostname or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{text} is no Sentinel, such as sentinel1.example.com:26379")
    return f"{_bracketed(parts.hostname)}:{port}"


def of_server(host: str, port: int, *, password: str | None, database: int) -> str:
    """The URL of one server."""
    return f"redis://{_login(password)}{_bracketed(host)}:{port}/{database}"


def of_watched(
    sentinels: Sequence[str], master: str, *, password: str | None, sentinel_password: str | None, database: int
) -> str:
    """The URL of the master that these Sentinels (`host:port`) watch under that name."""
    query = {"master": master, **({"sentinel_password": sentinel_password} if sentinel_password else {})}
    return f"{WATCHED}://{_login(password)}{','.join(sentinels)}/{database}?{urlencode(query)}"


def for_celery(sentinels: Sequence[str], *, password: str | None, database: int) -> str:
    """The Sentinels as kombu writes them, each with the login of the master; its name goes with the options."""
    return ";".join(f"sentinel://{_login(password)}{each}/{database}" for each in sentinels)


def _login(password: str | None) -> str:
    return f":{quote(password, safe='')}@" if password else ""


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
