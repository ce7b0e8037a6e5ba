"""Finished tasks by the hundred thousand, made by the store's own scripts: they are what the service would store."""

from __future__ import annotations

import time
from typing import Any

import redis

from benchmarks.contenders import HELLO
from tasks.identifier import new_id
from tasks.model import Status, Task, TaskType
from tasks.store import Batch, Claim, Entry, Store, scripts
from tasks.store.connection import PREFIX
from tasks.store.store import first_run_id

#: Tasks that one submit.lua stores, and runs whose scripts go in one pipeline.
TOGETHER = 50
WORKER = "records:1:5c0ffee0"
OWNERS = 10


class Pipelined:
    """Takes the scripts that a Store runs, in the place of its connections, and sends them together."""

    #: What the Store's verbs are told meanwhile: taken by nobody, and recorded.
    MEANWHILE: dict[str, Any] = {"claim": None, "finish": [1]}  # noqa: RUF012

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._shas = {name: client.script_load(scripts.text(name)) for name in self.MEANWHILE}
        self._pipeline = client.pipeline(transaction=False)

    def run(self, script: str, *arguments: Any) -> Any:
        """Keep it for `send`."""
        self._pipeline.evalsha(self._shas[script], 1, PREFIX, *arguments)
        return self.MEANWHILE[script]

    def send(self) -> None:
        """Send what was kept; each must have done what it is for."""
        assert all(self._pipeline.execute())


class Records:
    """Fills a Redis on loopback."""

    def __init__(self, port: int) -> None:
        url = f"redis://127.0.0.1:{port}/0"
        self._client = redis.Redis.from_url(url, decode_responses=True)
        self._store, self._workers = Store(url, timeout=60), Store(url, timeout=60)
        self._workers._redis = self._pipelined = Pipelined(self._client)
        #: How many there are.
        self.count = 0

    def fill(self, count: int) -> None:
        """Add finished tasks until there are `count`: of ten owners, every 7th an HTTP call, every 10th failed."""
        while self.count < count:
            size = min(TOGETHER, count - self.count)
            tasks = [task(self.count + number) for number in range(size)]
            owner = f"owner-{self.count // TOGETHER % OWNERS}"
            entries = [Entry(task=each, delay=None, losses=2) for each in tasks]
            self._store.submit_all(Batch(entries=entries, owner=owner, history=100))
            for each in tasks:
                self._workers.claim(WORKER, [each.kind], first_run_id(each.id))
            for number, each in enumerate(tasks):
                self._finish(each, failed=(self.count + number) % 10 == 0)
            self._pipelined.send()
            self.count += size

    def _finish(self, task: Task, *, failed: bool) -> None:
        error = {"code": "code_raised", "message": "ValueError: no", "traceback": None, "line": 2}
        self._workers.finish(
            Claim(run_id=first_run_id(task.id), kind=task.kind, attempt=1, started_at=0, about={}, spec={}),
            WORKER,
            status=Status.FAILED if failed else Status.SUCCEEDED,
            reason="code_raised" if failed else "",
            outcome={"error": error} if failed else {"result": "Hello World!"},
        )

    def payload(self) -> int:
        """Bytes of spec and outcome of the newest task of the first owner."""
        newest = self._client.zrevrange(f"{PREFIX}tasks:owner:owner-0", 0, 0)[0]
        spec = self._client.get(f"{PREFIX}task:{newest}:body").partition("\n")[2]
        return len(spec) + self._client.strlen(f"{PREFIX}run:{first_run_id(newest)}:outcome")

    def close(self) -> None:
        """Give the connections back."""
        self._store.close()
        self._client.close()


def task(number: int) -> Task:
    """One of them; every 20th has a tag."""
    now = time.time_ns() // 1_000_000
    http = number % 7 == 0
    spec: dict[str, Any] = {"api_url": "http://127.0.0.1:9/", "method": "GET"} if http else {**HELLO, "args": []}
    return Task(
        id=new_id(),
        name=f"record {number}",
        task_type=TaskType.IMMEDIATE,
        kind="http" if http else "code",
        spec=spec,
        timeout=30,
        tags=("rare",) if number % 20 == 0 else (),
        status=Status.QUEUED,
        created_at=now,
        updated_at=now,
    )
