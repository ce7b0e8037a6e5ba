"""What a run prints while it goes on, and who waits for news of a task."""

from __future__ import annotations

import time
from types import TracebackType

from tasks.model import Status
from tasks.store import parse
from tasks.store.connection import PREFIX, Connection
from tasks.store.records import Claim, Look


class Live:
    """The verbs of those who write output and those who follow it; each raises StoreUnavailable."""

    def __init__(self, connection: Connection) -> None:
        self._redis = connection

    def write(self, claim: Claim, worker: str, stdout: tuple[int, str], stderr: tuple[int, str]) -> bool:
        """Keep a piece of each stream, behind so many bytes; False where the run is no longer the worker's."""
        return bool(self._redis.run("output", claim.run_id, worker, claim.attempt, *stdout, *stderr))

    def look(self, task_id: str, *, number: int, attempt: int, stdout: int, stderr: int) -> Look | None:
        """What is new of run `number` (0: the last one) to a reader who has seen so many bytes of that attempt.

        Where that run is not kept any more it is the first one after it that is. None where there is no such task.
        """
        answer = self._redis.run("look", task_id, number, attempt, stdout, stderr)
        if not answer:
            return None
        status, runs, *found = answer
        if not found:
            return Look(status=Status(status), runs=runs)
        run_id, fields, outcome, *output = found
        run = parse.run([run_id, fields, outcome, (), *output])
        return Look(status=Status(status), runs=runs, run=run, has_outcome=bool(outcome))

    def watch(self, task_id: str) -> Watch:
        """Wait for news of a task, as a context manager."""
        return Watch(self._redis, task_id)


class Watch:
    """Hears that something about a task changed, over a connection of its own."""

    def __init__(self, connection: Connection, task_id: str) -> None:
        self._connection = connection
        self._channel = f"{PREFIX}events:{task_id}"
        self._pubsub = connection.subscription()

    def __enter__(self) -> Watch:
        """Listen; from here on no change is missed. Raises StoreUnavailable."""
        try:
            self._connection.guard(self._listen)
        except BaseException:
            self._pubsub.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the connection back."""
        self._pubsub.close()

    def wait(self, seconds: float) -> bool:
        """Wait for a change, `seconds` at the most; whether there was one. Raises StoreUnavailable."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._heard(left) == "message":
                return True
        return False

    def _listen(self) -> None:
        self._pubsub.subscribe(self._channel)
        while self._heard(1) not in ("subscribe", None):
            pass

    def _heard(self, seconds: float) -> str | None:
        message = self._connection.guard(lambda: self._pubsub.get_message(timeout=seconds))
        return None if message is None else str(message["type"])
