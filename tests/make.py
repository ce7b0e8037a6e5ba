"""Makes what tests need: records, submissions, settings, and the two fakes at our own seams, a bell and a clock."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from config.settings import Settings, load
from tasks import identifier
from tasks.model import Priority, Status, Task, TaskType
from tasks.store import Claim, DueSchedule, FireOrder, Letter, Store

#: A fixed "now" for clocks: 2026-01-15T12:00:00Z, a Thursday.
NOW = 1_768_478_400_000
HOUR = 3_600_000


class RecordedBell:
    """A bell that nobody hears: it keeps what was rung."""

    letters: Mapping[Priority, Letter] | None = None

    def __init__(self) -> None:
        self.rung: list[tuple[str, Priority]] = []

    def ring(self, run_ids: Iterable[str], priority: Priority = Priority.NORMAL) -> None:
        self.rung.extend((run_id, priority) for run_id in run_ids)

    @property
    def runs(self) -> list[str]:
        return [run_id for run_id, _ in self.rung]


class Clock:
    """A clock that stands until it is told otherwise."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def make_settings(folder: Path, **over: Any) -> Settings:
    """Settings whose files are below `folder`."""
    return load(**{"data_dir": folder / "var", "log_dir": folder / "logs", **over})


def make_task(**over: Any) -> Task:
    """A Task as the parser would make it: immediate, of kind `code`, unless told otherwise."""
    task_id = over.pop("id", None) or identifier.new_id()
    task_type = TaskType(over.pop("task_type", TaskType.IMMEDIATE))
    created = over.pop("created_at", identifier.moment_of(task_id))
    immediate = task_type is TaskType.IMMEDIATE
    fields: dict[str, Any] = {
        "id": task_id,
        "name": "a task",
        "task_type": task_type,
        "kind": "code",
        "spec": {"function_code": "def f():\n    return 1", "function_name": "f", "args": [], "kwargs": {}},
        "timeout": 30,
        "status": Status.QUEUED if immediate else Status.SCHEDULED,
        "created_at": created,
        "updated_at": created,
    }
    if task_type is TaskType.SCHEDULED:
        fields["timing"] = make_timing()
        fields["next_run_at"] = NOW
    return Task(**{**fields, **over})


def make_timing(**over: Any) -> dict[str, Any]:
    """The timing fields of a scheduled task: every minute, UTC."""
    defaults = {"cron_expression": "* * * * *", "timezone": "UTC", "overlap": "skip", "misfire": "once"}
    return {**defaults, "misfire_limit": 10, **over}


def code_body(**over: Any) -> dict[str, Any]:
    """A submission of a code task."""
    return {
        "name": "a task",
        "task_type": "immediate",
        "function_code": "def f():\n    return 1",
        "function_name": "f",
        **over,
    }


def http_body(**over: Any) -> dict[str, Any]:
    """A submission of an HTTP task."""
    return {"name": "a call", "task_type": "immediate", "api_url": "https://example.com/", **over}


def submit(store: Store, *, losses: int = 2, history: int = 100, delay: int | None = None, **over: Any) -> Task:
    """Store a task; `over` are its fields, `losses` how many workers it may lose."""
    if over.get("task_type") == "delayed" and delay is None and "next_run_at" not in over:
        delay = 60_000
    task = make_task(**over)
    store.submit(task, delay=delay, losses=losses, history=history)
    return task


def take(store: Store, *, worker: str = "w1", run_id: str = "", kinds: Iterable[str] = ("code", "http")) -> Claim:
    """Claim a run that is to be had."""
    claim = store.claim(worker, list(kinds), run_id)
    assert isinstance(claim, Claim), claim
    return claim


def end(store: Store, claim: Claim, *, worker: str = "w1", status: Status = Status.SUCCEEDED, **over: Any) -> bool:
    """Finish a claimed run; whether it counted."""
    fields: dict[str, Any] = {"reason": "", "outcome": {"result": None}, **over}
    recorded, _ = store.finish(claim, worker, status=status, **fields)
    return recorded


def fire(store: Store, task: Task, **over: Any) -> list[str]:
    """Fire a scheduled task once as Beat would, whenever it is due; ids of the runs that are queued now."""
    seen = {schedule.task_id: schedule for schedule in store.due(500).schedules}
    schedule = seen[task.id]
    return fire_as_seen(store, schedule, **over)


def fire_as_seen(store: Store, schedule: DueSchedule, **over: Any) -> list[str]:
    """The same for a schedule that was seen as due, now or earlier."""
    how = {"next_due": schedule.due_at + 1, "overlap": "allow", "max_runs": None, "fire": (schedule.due_at,), **over}
    (queued,) = store.fire([FireOrder(schedule=schedule, **how)])
    return list(queued)


def run_out(store: Store) -> None:
    """Let every lease run out."""
    leases = store._redis.command("ZRANGE", "{tms}:leases", 0, -1)
    for run_id in leases:
        store._redis.command("ZADD", "{tms}:leases", 1, run_id)


def keys(store: Store) -> set[str]:
    """Every key there is, but for those that tell of workers, beats and kinds, and the counters."""
    passing = ("{tms}:worker", "{tms}:beat", "{tms}:wake", "{tms}:counters", "{tms}:kinds")
    return {key for key in store._redis.command("KEYS", "*") if not key.startswith(passing)}


def read_about(store: Store, task_id: str) -> dict[str, Any]:
    """What is kept of a task beside its spec."""
    about: dict[str, Any] = json.loads(store._redis.command("GET", f"{{tms}}:task:{task_id}:body").partition("\n")[0])
    return about


def put_about(store: Store, task_id: str, about: dict[str, Any]) -> None:
    """Keep that instead, as nothing of the service would."""
    spec = store._redis.command("GET", f"{{tms}}:task:{task_id}:body").partition("\n")[2]
    store._redis.command("SET", f"{{tms}}:task:{task_id}:body", f"{json.dumps(about)}\n{spec}")


def ended_tasks(store: Store) -> dict[str, int]:
    """The tasks that have ended for good, and in which minute."""
    minutes = map(int, store._redis.command("ZRANGE", "{tms}:ended", 0, -1))
    return {
        task_id: minute
        for minute in minutes
        for task_id in store._redis.command("LRANGE", f"{{tms}}:ended:{minute}", 0, -1)
    }


def end_earlier(store: Store, task_id: str, by: int) -> None:
    """Let a task have ended `by` milliseconds before it did."""
    then = int(store._redis.command("HGET", f"{{tms}}:task:{task_id}", "updated")) - by
    old, new = ended_tasks(store)[task_id], then // 60_000
    store._redis.command("HSET", f"{{tms}}:task:{task_id}", "updated", then)
    store._redis.command("LREM", f"{{tms}}:ended:{old}", 1, task_id)
    store._redis.command("LPUSH", f"{{tms}}:ended:{new}", task_id)
    store._redis.command("ZADD", "{tms}:ended", new, new)


def everything(store: Store) -> dict[str, object]:
    """Every key with what it holds."""
    found = {}
    for key in sorted(store._redis.command("KEYS", "*")):
        sort = store._redis.command("TYPE", key)
        read = {
            "hash": ("HGETALL", key),
            "zset": ("ZRANGE", key, 0, -1, "WITHSCORES"),
            "list": ("LRANGE", key, 0, -1),
            "stream": ("XRANGE", key, "-", "+"),
            "set": ("SORT_RO", key, "ALPHA"),
        }
        found[key] = store._redis.command(*read.get(sort, ("GET", key)))
    return found


@contextmanager
def client_of(url: str) -> Iterator[Any]:
    """A plain Redis client, for what no verb of the Store does."""
    client = redis.Redis.from_url(url, decode_responses=True)
    try:
        yield client
    finally:
        client.close()
