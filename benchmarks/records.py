"""Finished tasks by the hundred thousand, made by the store's own scripts: they are what the service would store."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import redis

from benchmarks.contenders import HELLO
from tasks.identifier import new_id
from tasks.model import Priority, Status, Task, TaskType
from tasks.store import Entry, Store, scripts
from tasks.store.connection import PREFIX
from tasks.store.store import LEASE, first_run_id

#: Tasks that one submit.lua stores, and runs whose scripts go in one pipeline.
TOGETHER = 50
WORKER = "records@localhost:1"
OWNERS = 10


class Records:
    """Fills a Redis on loopback."""

    def __init__(self, port: int) -> None:
        self._store = Store(f"redis://127.0.0.1:{port}/0", timeout=60)
        self._client = redis.Redis(port=port, decode_responses=True)
        self._shas = {name: self._client.script_load(scripts.text(name)) for name in ("claim", "finish")}
        #: How many there are.
        self.count = 0

    def fill(self, count: int) -> None:
        """Add finished tasks until there are `count`: of ten owners, every 7th an HTTP call, every 10th failed."""
        while self.count < count:
            size = min(TOGETHER, count - self.count)
            tasks = [task(self.count + number) for number in range(size)]
            owner = f"owner-{self.count // TOGETHER % OWNERS}"
            self._store.submit_all([Entry(task=each, delay=None, losses=2) for each in tasks], owner=owner, history=100)
            self._script("claim", ((WORKER, LEASE, first_run_id(each.id), each.kind) for each in tasks))
            self._script("finish", (ending(self.count + number, each) for number, each in enumerate(tasks)))
            self.count += size

    def _script(self, name: str, calls: Iterator[Sequence[Any]]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for words in calls:
            pipeline.evalsha(self._shas[name], 1, PREFIX, *words)
        answers = pipeline.execute()
        assert all(answers), f"{name} was refused"

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
        priority=Priority.NORMAL,
        status=Status.QUEUED,
        created_at=now,
        updated_at=now,
    )


def ending(number: int, task: Task) -> tuple[Any, ...]:
    """What finish.lua is told."""
    failed = number % 10 == 0
    status = Status.FAILED if failed else Status.SUCCEEDED
    error = {"code": "code_raised", "message": "ValueError: no", "traceback": None, "line": 2}
    outcome = {"error": error} if failed else {"result": "Hello World!"}
    text = json.dumps({**outcome, "stdout": "", "stderr": ""})
    return (first_run_id(task.id), WORKER, 1, status, "code_raised" if failed else "", text, "", LEASE, "")
