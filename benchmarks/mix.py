"""The work of a soak: a repeating mix of tasks of every kind, sent over a few connections at the service's own pace."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchmarks import load
from benchmarks.contenders import HELLO

#: Runs that may wait before no more are sent.
MOST_WAITING = 200
#: Tasks in one round of the mix.
ROUND = 20
#: Schedules that fire every second from the first task to the last.
SCHEDULES = 4
#: Seconds between two looks at how many wait.
LOOK = 0.25


def now(**fields: Any) -> dict[str, Any]:
    """A task that runs at once."""
    return {"name": "soak", "task_type": "immediate", "tags": ["soak"], **fields}


def code(source: str) -> dict[str, Any]:
    """The fields of a code task whose function is `f`."""
    return {"function_code": source, "function_name": "f"}


def schedule(**fields: Any) -> dict[str, Any]:
    """A task that runs every second, one run after the other."""
    often = {"task_type": "scheduled", "cron_expression": "* * * * * *", "overlap": "queue"}
    return {**now(**HELLO), **often, "name": "soak, every second", **fields}


def tasks(sink: str) -> Iterator[dict[str, Any]]:
    """Rounds of tasks: code and HTTP, delayed, failing, retried, talkative, never seen before, and a short schedule."""
    for number in itertools.count():
        fresh = f"def f():\n    return sum(range({number % 1000})), {number}"
        yield from (now(**HELLO) for _ in range(8))
        yield from (now(api_url=sink) for _ in range(6))
        yield now(**code(fresh))
        yield now(**code("def f():\n    for line in range(100):\n        print('line', line)"))
        yield now(**code("def f():\n    return 1 / 0"), retry={"max": 1, "backoff": 0.5})
        yield now(**code("def f():\n    return [0] * 2000"), priority="high")
        yield now(**HELLO, task_type="delayed", delay_seconds=1)
        yield schedule(max_runs=3) if number % 50 == 0 else now(**HELLO)


class Senders:
    """Send what the mix says until told to end; every tenth round also asks for a page and for one task."""

    def __init__(self, port: int, sink: str, most: float) -> None:
        """`most` is how many tasks to send at the most."""
        self.port, self.sent = port, 0
        #: Answers by what they were: `201`, `200`, `503`, `no answer`.
        self.answers: Counter[str] = Counter()
        self._tasks, self._most = tasks(sink), most
        self._room = asyncio.Event()
        self._ended = False

    @property
    def accepted(self) -> int:
        """Tasks that were stored."""
        return self.answers["201"]

    async def run(self, connections: int) -> None:
        """Send until `end`, or until the most have been sent."""
        watcher = asyncio.create_task(self._watch())
        try:
            await asyncio.gather(*(self._send() for _ in range(connections)))
        finally:
            watcher.cancel()

    def end(self) -> None:
        """Send no more."""
        self._ended = True
        self._room.set()

    async def _send(self) -> None:
        line = Line(self.port, self.answers)
        while not self._ended and self.sent < self._most:
            await self._room.wait()
            self.sent += 1
            task = await line.ask("201", load.post("/api/tasks", json.dumps(next(self._tasks)).encode()))
            if task and self.sent % (10 * ROUND) == 0:
                await line.ask("200", get("/api/tasks?status=succeeded&tag=soak&limit=50"))
                await line.ask("200", get(f"/api/tasks/{task['id']}"))

    async def _watch(self) -> None:
        line = Line(self.port, Counter())
        while not self._ended:
            queues = (await line.ask("200", get("/api/health")) or {}).get("queues")
            if queues and queues["code"] + queues["http"] < MOST_WAITING:
                self._room.set()
            else:
                self._room.clear()
            await asyncio.sleep(LOOK)


class Line:
    """One connection that is opened again where it breaks; what is refused is counted and no reason to stop."""

    def __init__(self, port: int, answers: Counter[str]) -> None:
        self._port, self._answers = port, answers
        self._client: load.Client | None = None

    async def ask(self, meant: str, request: bytes) -> Any:
        """The answer's body; None where it was no success, which is counted under its status instead of `meant`."""
        try:
            self._client = self._client or await load.connect(self._port)
            body = await asyncio.wait_for(self._client.ask(request), 30)
        except RuntimeError as refusal:
            self._answers[str(refusal)[:3]] += 1
        except OSError:  # TimeoutError is one
            self._answers["no answer"] += 1
            self.close()
            await asyncio.sleep(1)
        else:
            self._answers[meant] += 1
            return json.loads(body) if body else {}

    def close(self) -> None:
        """Drop the connection; the next question opens another."""
        if self._client is not None:
            self._client.close()
        self._client = None


def get(path: str) -> bytes:
    """A GET as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
