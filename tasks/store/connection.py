"""One connection pool to Redis, and what its failures mean to us."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NoReturn

import hiredis
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
        self._free: list[Any] = []
        self._pid = os.getpid()
        #: When an answer was last missed (monotonic clock): what was asked then may have been done all the same.
        self.missed_at = -math.inf

    def run(self, script: str, *arguments: str | int | float) -> Any:
        """What the script answers. Raises StoreUnavailable."""
        return self.guard(lambda: self._run(script, arguments))

    def run_each(self, script: str, calls: Sequence[tuple[str | int | float, ...]]) -> Sequence[Any]:
        """What the script answers to each call, all sent at once; where one fails its fault is in the answer's place.

        Raises StoreUnavailable where Redis does not answer: nobody knows what became of any of them.
        """
        if not calls:
            return []
        _, digest = _script(script)
        packed = b"".join(_packed("EVALSHA", digest, 1, PREFIX, *arguments) for arguments in calls)
        answers = self.guard(lambda: self._exchange(packed, len(calls)))
        return [self._settled(script, *pair) for pair in zip(calls, answers, strict=True)]

    def _settled(self, script: str, arguments: tuple[str | int | float, ...], answer: Any) -> Any:
        """The answer to one of several calls, or its fault."""
        if not isinstance(answer, exceptions.ResponseError):
            return answer
        try:
            if isinstance(answer, exceptions.NoScriptError):
                return self.run(script, *arguments)
            return self.guard(lambda: _raise(answer))
        except Exception as fault:  # noqa: BLE001 - each call has its own, which the caller raises
            return fault

    def _run(self, script: str, arguments: tuple[str | int | float, ...]) -> Any:
        text, digest = _script(script)
        try:
            return self._ask("EVALSHA", digest, 1, PREFIX, *arguments)
        except exceptions.NoScriptError:
            return self._ask("EVAL", text, 1, PREFIX, *arguments)

    def command(self, *words: str | int | float) -> Any:
        """What a single command answers. Raises StoreUnavailable."""
        return self.guard(lambda: self._told(words))

    def _told(self, words: tuple[str | int | float, ...]) -> Any:
        answer = self._ask(*words)
        understand = self._redis.response_callbacks.get(words[0])  # type: ignore[no-untyped-call]
        return understand(answer) if understand else answer

    def _ask(self, *words: str | int | float) -> Any:
        (answer,) = self._exchange(_packed(*words), 1)
        return _raise(answer) if isinstance(answer, exceptions.ResponseError) else answer

    def _exchange(self, packed: bytes, count: int) -> Sequence[Any]:
        """Send commands over a connection that nobody else uses meanwhile, and read as many answers, errors too.

        redis-py looks at a connection before each command, counts, times and tells what it does: half of what a command
        costs. What is broken shows when it is used, and is opened again once.
        """
        connection = self._take()

        def exchange() -> list[Any]:
            if not connection.is_connected:
                connection.connect()  # sending would do that too, but without asking Sentinels for the master
            connection.send_packed_command([packed], check_health=False)
            return [_read(connection) for _ in range(count)]

        try:
            answers: list[Any] = connection.retry.call_with_retry(exchange, lambda _: self._miss(connection))
            return answers
        except BaseException:
            self._miss(connection)  # an answer may still be on its way
            raise
        finally:
            self._free.append(connection)

    def _miss(self, connection: Any) -> None:
        connection.disconnect()
        self.missed_at = time.monotonic()

    def _take(self) -> Any:
        if self._pid != os.getpid():
            self._free, self._pid = [], os.getpid()  # those of the parent are the parent's
        try:
            return self._free.pop()
        except IndexError:
            return self._redis.connection_pool.get_connection()

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


def _packed(*words: str | int | float) -> bytes:
    """A command as it goes over the wire."""
    return bytes(hiredis.pack_command(words))  # type: ignore[arg-type]  # its stub means a tuple of any length


def _read(connection: Any) -> Any:
    try:
        return connection.read_response()
    except exceptions.ResponseError as error:
        return error


def _raise(error: exceptions.ResponseError) -> NoReturn:
    raise error


#: In front of every key. The braces are a hash tag: all keys share one slot of a Redis cluster.
PREFIX = "{tms}:"


@cache
def _script(name: str) -> tuple[str, str]:
    """The text of a script, and what Redis calls it by."""
    text = scripts.text(name)
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
