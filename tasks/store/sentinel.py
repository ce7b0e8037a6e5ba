"""A client of Redis for a URL: of one server, or of the master that Sentinels name, asked again for each connection."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

#: As config/redis_address.py writes it.
WATCHED = "redis+sentinel"
SENTINEL_PORT = 26379


def client(url: str, *, timeout: float, **options: Any) -> redis.Redis:
    """The client, which connects on first use; `timeout` in seconds for connecting and for each answer.

    Sentinels that are away take at most half of it, all together.
    """
    options |= {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    parts = urlsplit(url)
    if parts.scheme != WATCHED:
        return redis.Redis.from_url(url, **options)
    login, _, hosts = parts.netloc.rpartition("@")
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    sentinels = [_address(host) for host in hosts.split(",")]
    patience = timeout / 2 / len(sentinels)
    watchers = Sentinel(  # type: ignore[no-untyped-call]
        sentinels,
        sentinel_kwargs={
            "socket_timeout": patience,
            "socket_connect_timeout": patience,
            "password": query.get("sentinel_password"),
            "retry": Retry(NoBackoff(), 0),
        },
    )
    password = unquote(login.partition(":")[2]) or None
    database = int(parts.path.strip("/") or 0)
    found: redis.Redis = watchers.master_for(  # type: ignore[no-untyped-call]
        query["master"], password=password, db=database, **options
    )
    return found


def _address(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "localhost", parts.port or SENTINEL_PORT
