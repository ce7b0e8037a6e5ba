"""One connection pool to Redis, and what its failures mean to us."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.retry import Retry

from tasks import errors
from tasks.store import scripts, sentinel

#: What Redis answers with when it is there but cannot serve us; anything else is a bug of ours. redis-py has classes
#: for some of these and drops their first word.
UNABLE = {
    exceptions.OutOfMemoryError: "OOM",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.NoPermissionError: "NOPERM",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.ClusterDownError: "CLUSTERDOWN",
}
UNABLE_WORDS = (*UNABLE.values(), "MISCONF", "NOREPLICAS", "BUSY", "UNBLOCKED")
#: Connections that one process may have: more than its threads; redis-py's own limit of 100 is fewer.
MOST_CONNECTIONS = 4096


class Connection:
    """Runs commands and scripts; every failure to reach Redis becomes StoreUnavailable."""

    def __init__(self, url: str, *, timeout: float) -> None:
        """`timeout` in seconds is how long connecting, and how long one answer, may take."""
        self._redis = sentinel.client(
            url,
            timeout=timeout,
            decode_responses=True,
            health_check_interval=0,
            max_connections=MOST_CONNECTIONS,
            # A pooled connection that Redis has closed meanwhile is opened again once; every script may be repeated.
            # Never on a timeout: the caller's patience is `timeout`.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )
        self._scripts: dict[str, Any] = {}

    def run(self, script: str, *arguments: str | int | float) -> Any:
        """What the script answers. Raises StoreUnavailable."""
        loaded = self._scripts.get(script)
        if loaded is None:
            loaded = self._scripts[script] = self._redis.register_script(scripts.text(script))
        return self.guard(lambda: loaded(keys=[PREFIX], args=arguments))

    def command(self, *words: str | int | float) -> Any:
        """What a single command answers. Raises StoreUnavailable."""
        return self.guard(lambda: self._redis.execute_command(*words))  # type: ignore[no-untyped-call]

    @staticmethod
    def guard(call: Callable[[], Any]) -> Any:
        """Do it, and translate what can go wrong with Redis."""
        try:
            return call()
        except exceptions.AuthenticationError as error:
            raise errors.StoreUnavailable("Redis refuses the password; check REDIS_PASSWORD or REDIS_URL.") from error
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise errors.StoreUnavailable("Redis does not answer.") from error
        except redis.ResponseError as error:
            word = UNABLE.get(type(error)) or str(error).split(" ", 1)[0]
            if word in UNABLE_WORDS:
                raise errors.StoreUnavailable(f"Redis cannot serve this now ({word}).") from error
            raise

    def subscription(self) -> PubSub:
        """Something that hears channels, over a connection of its own."""
        pubsub: PubSub = self._redis.pubsub()  # type: ignore[no-untyped-call]
        return pubsub

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()


#: In front of every key. The braces are a hash tag: all keys share one slot of a Redis cluster.
PREFIX = "{tms}:"
