"""The Store: Redis holds the truth about every task, and each verb here is one atomic script."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from tasks import errors
from tasks.model import Run, Status, Task, TaskType
from tasks.store import parse, submitting
from tasks.store.connection import PREFIX, Connection
from tasks.store.counters import Counters
from tasks.store.deliveries import Deliveries, callback_word
from tasks.store.live import Live
from tasks.store.receipts import Receipt, Receipts
from tasks.store.records import Claim, Due, DueSchedule, Entry, FireOrder, Moved, Pulse, Quotas
from tasks.store.secrets import Secrets
from tasks.store.submitting import Batch, compact

#: Milliseconds for which a run belongs to the worker that claimed it, unless a heartbeat extends it.
LEASE = 30_000
#: Milliseconds without a heartbeat after which a run is one that its worker has never heard of.
UNHEARD = 3_000
#: Milliseconds of silence after which a worker is no longer listed.
WORKER_GONE = 10_000
#: Milliseconds of silence after which no beat is said to be alive.
BEAT_GONE = 10_000
#: With this many runs waiting, workers find the next one by themselves when they finish one, or with their next
#: heartbeat. A bell that finds no room costs as much as a run.
RING_AT_MOST = 8
#: Entries that one page of a listing looks at before it answers with what it found.
LOOKS = 5_000


class Store:
    """Every verb is atomic and may be repeated; each raises StoreUnavailable where Redis is away."""

    def __init__(self, url: str, *, timeout: float) -> None:
        """`url` of Redis; `timeout` in seconds for connecting and for each answer. Connects on first use."""
        self._redis = Connection(url, timeout=timeout)
        #: What was answered under an Idempotency-Key.
        self.receipts = Receipts(self._redis)
        #: What runs print while they go on, and who follows it.
        self.live = Live(self._redis)
        #: Users' secrets, sealed.
        self.secrets = Secrets(self._redis)
        #: The news of runs that ended, on their way to receivers.
        self.deliveries = Deliveries(self._redis)
        #: How often what happened.
        self.counters = Counters(self._redis)

    @property
    def connection(self) -> Connection:
        """The connections, for the other parts of the Redis side."""
        return self._redis

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()

    # --- verbs of the TaskManager --------------------------------------------------------------------------------

    def submit(
        self,
        task: Task,
        *,
        delay: int | None,
        losses: int,
        history: int,
        quotas: Quotas | None = None,
    ) -> tuple[int, bool]:
        """Store one task as `submit_all` does; when it is due, and whether to ring for its first run."""
        entry = Entry(task=task, delay=delay, losses=losses)
        batch = Batch(entries=[entry], owner=task.owner, history=history, quotas=quotas or Quotas())
        return self.submit_all(batch)[0]

    def submit_all(self, batch: Batch) -> Sequence[tuple[int, bool]]:
        """Store tasks of one owner with their first runs and index entries, all or none.

        For each: when it is due, and whether to ring for its first run. Raises TooMuch where the owner's quota is full,
        and ReceiptTaken where the receipt no longer is the caller's.
        """
        return submitting.told(self._redis.run("submit", *submitting.words(batch, RING_AT_MOST)))

    def submit_each(self, batches: Sequence[Batch]) -> Sequence[Sequence[tuple[int, bool]] | Exception]:
        """Store each batch as `submit_all` does, all sent at once: what became of each, or the fault it met.

        Each is a step of its own, so one that is refused does not touch the others.
        """
        calls = [submitting.words(batch, RING_AT_MOST) for batch in batches]
        return [_told(answer) for answer in self._redis.run_each("submit", calls)]

    def owner(self, task_id: str) -> str | None:
        """Whose task it is; None where there is none."""
        exists, owner = self._redis.command("HMGET", f"{PREFIX}task:{task_id}", "status", "owner")
        return (owner or "anonymous") if exists else None

    def get(self, task_id: str) -> Task:
        """The task with its last run. Raises TaskNotFound."""
        answer = self._redis.run("read", task_id)
        if not answer:
            raise _no_task(task_id)
        fields, about, spec, *last = answer
        return parse.task(task_id, parse.pairs(fields), about, spec, parse.run(last[0]) if last else None)

    def list(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        filters: Mapping[str, str] | None = None,
        name: str = "",
        after: str | None = None,
        before: str | None = None,
    ) -> tuple[Sequence[Task], str | None, int | None]:
        """A page of tasks without their specs and runs, newest first; the cursor of the next page; the total.

        `filters` names indexes (`status`, `type`, `kind`, `owner`, `tag`) and values; `name` is a part of the name;
        `after` and `before` are ids, or beginnings of ids, that bound the page. The total is None where it is not
        cheap to tell. A page may hold fewer than `limit` tasks and still have a next one.
        """
        top = f"({before}" if before else "+"
        begin = f"({min(cursor, before) if before else cursor}" if cursor else top
        pairs = [word for pair in (filters or {}).items() for word in pair]
        last, total, found = self._redis.run(
            "list", begin, f"[{after}" if after else "-", limit, LOOKS, _lower(name), top, *pairs
        )
        tasks = [parse.task(task_id, parse.pairs(fields), about, None, None) for task_id, fields, about in found]
        return tasks, last or None, int(total) if total else None

    def runs(
        self, task_id: str, *, limit: int, below: int | None = None, status: str = ""
    ) -> tuple[Sequence[Run], int | None, int]:
        """Runs of a task with numbers below `below`, newest first; where to go on; how many are kept.

        Raises TaskNotFound.
        """
        answer = self._redis.run("read_runs", task_id, "" if below is None else below, limit, status)
        if not answer:
            raise _no_task(task_id)
        total, following, found = answer
        return [parse.run(run) for run in found], int(following) if following else None, total

    def stop(self, task_id: str) -> tuple[Status, Status]:
        """Stop what waits and call off what runs; the task's status before and now. Raises TaskNotFound."""
        answer = self._redis.run("stop", task_id)
        if not answer:
            raise _no_task(task_id)
        return Status(answer[0]), Status(answer[1])

    def delete(self, task_id: str) -> None:
        """Remove the task and all that belongs to it. Raises TaskNotFound."""
        if not self._redis.run("delete", task_id):
            raise _no_task(task_id)

    def pause(self, task_id: str) -> Moved:
        """Let a scheduled task record its occurrences as skipped. Raises TaskNotFound."""
        return self._moved(task_id, self._redis.run("pause", task_id))

    def resume(self, task: Task, *, next_due: int | None, skip: Sequence[int], missed: int) -> Moved:
        """Let a paused task fire again, recording what it missed, if its due time is still that of `task`.

        Raises TaskNotFound.
        """
        due = "" if task.next_run_at is None else task.next_run_at
        following = "" if next_due is None else next_due
        return self._moved(task.id, self._redis.run("resume", task.id, due, following, compact(list(skip)), missed))

    @staticmethod
    def _moved(task_id: str, answer: Any) -> Moved:
        if not answer:
            raise _no_task(task_id)
        return Moved(task_type=TaskType(answer[0]), was=Status(answer[1]), status=Status(answer[2]))

    def run_now(self, task_id: str, overlap: str, receipt: Receipt | None = None) -> tuple[Status, str, str]:
        """Start a run at once; the task's status before, then the id and status of the run, empty where none started.

        `receipt` keeps which run it was: a further try of the same request answers that one. Raises TaskNotFound.
        """
        answer = self._redis.run("run_now", task_id, overlap, uuid.uuid4().hex, receipt.key if receipt else "")
        if not answer:
            raise _no_task(task_id)
        return Status(answer[0]), answer[1], answer[2]

    def edit(
        self,
        task: Task,
        *,
        revision: int,
        losses: int,
        seen_due: int | None,
        delay: int | None,
        skip: Sequence[int] = (),
        missed: int = 0,
    ) -> bool:
        """Put `task` in the place of its revision `revision`; False where that is not there to be changed any more.

        `seen_due` is the due time that is replaced by `task.next_run_at`, or by `delay` milliseconds from now;
        None leaves it. Raises TaskNotFound.
        """
        answer = self._redis.run(
            "edit",
            *(task.id, revision, task.priority, compact(parse.about(task)), compact(task.spec), compact(task.tags)),
            *("" if task.expires_in is None else round(task.expires_in * 1000), losses),
            *("" if seen_due is None else seen_due, task.next_run_at or 0, "" if delay is None else delay),
            *(compact(list(skip)), missed, uuid.uuid4().hex, callback_word(task.callback)),
        )
        if not answer:
            raise _no_task(task.id)
        return bool(answer[2])

    def health(self, kinds: Sequence[str], *, of_one_owner: int | None = None) -> dict[str, Any]:
        """Live workers, the age of Beat's last tick in seconds, and how much waits and runs."""
        told = self._redis.run("health", of_one_owner or "", *kinds)
        now, beat, due, running, held, queued, workers = told
        age = None if beat == "" else max(0, int(now) - int(beat))
        return {
            "workers": [json.loads(worker) for worker in workers],
            "beat": {
                "alive": age is not None and age < BEAT_GONE,
                "last_tick_seconds_ago": None if age is None else age / 1000,
            },
            "queues": {**dict(zip(kinds, queued, strict=True)), "due": due, "running": running, "held": held},
        }

    # --- the bell ------------------------------------------------------------------------------------------------

    def push(self, key: str, messages: Sequence[str]) -> None:
        """Put messages into the list `key` of a queue."""
        if messages:
            self._redis.command("LPUSH", key, *messages)

    # --- verbs of the worker -------------------------------------------------------------------------------------

    def claim(
        self, worker: str, kinds: Sequence[str], run_id: str = "", *, of_one_owner: int | None = None
    ) -> Claim | str | None:
        """Take a queued run, or whichever waits first; the kind's name where only room for it is lacking.

        `of_one_owner` is how many runs of one owner may go at once: one more is held back until another of them has
        ended, and the first that is to be had of the same kind is taken instead.
        None: it is not to be had (taken, stopped, deleted, expired).
        """
        answer = self._redis.run("claim", worker, LEASE, run_id, of_one_owner or "", *kinds)
        if not answer:
            return None
        return str(answer[1]) if answer[0] == "no_room" else _claim(answer)

    def finish(
        self,
        claim: Claim,
        worker: str,
        *,
        status: Status,
        reason: str,
        outcome: Mapping[str, Any],
        retry_after: int | None = None,
        next_kind: str = "",
        of_one_owner: int | None = None,
    ) -> tuple[bool, Claim | None]:
        """Record how the attempt ended; whether it counted, and the next run of `next_kind` already claimed.

        It does not count where the run meanwhile belongs to another. `retry_after` in milliseconds asks for another
        attempt; a stop wins over it.
        """
        recorded, *following = self._redis.run(
            "finish",
            *(claim.run_id, worker, claim.attempt, status, reason, compact(outcome)),
            *("" if retry_after is None else retry_after, LEASE, next_kind, of_one_owner or ""),
        )
        return bool(recorded), _claim(following[0]) if following and following[0] else None

    def give_back(self, claim: Claim, worker: str, outcome: Mapping[str, Any]) -> Status | None:
        """Return a run that had to be broken off; its status now, None where it is no longer ours."""
        status = self._redis.run("give_back", claim.run_id, worker, claim.attempt, compact(outcome))
        return Status(status) if status else None

    def unclaim(self, worker: str, known: Sequence[str]) -> Sequence[str]:
        """Queue again, as if they had not been claimed, what is the worker's and not among the `Claim.id`s it knows."""
        return [*self._redis.run("unclaim", worker, LEASE, UNHEARD, *known)]

    def heartbeat(
        self,
        worker: str,
        about: Mapping[str, Any],
        free: Mapping[str, int],
        claims: Sequence[Claim],
        *,
        of_one_owner: int | None = None,
    ) -> Pulse:
        """Say that `worker` lives and still does `claims`, and how many more of each kind fit (`free`)."""
        held = [word for claim in claims for word in (claim.run_id, claim.attempt)]
        said = (
            worker,
            LEASE,
            WORKER_GONE,
            compact(about),
            compact({kind: min(many, RING_AT_MOST) for kind, many in free.items()}),
            of_one_owner or "",
        )
        stops, lost, waiting, callbacks = self._redis.run("heartbeat", *said, *held)
        return Pulse(stops=stops, lost=lost, waiting=waiting, callbacks=bool(callbacks))

    def await_call(self, worker: str, seconds: float) -> str | None:
        """Wait up to `seconds` for a run that this worker must stop; its id."""
        answer = self._redis.command("BLPOP", f"{PREFIX}worker:{worker}:calls", seconds)
        return str(answer[1]) if answer else None

    def leave(self, worker: str) -> None:
        """Take a worker that ends in good order off the list."""
        self._redis.run("leave", worker)

    # --- verbs of Beat -------------------------------------------------------------------------------------------

    def due(self, limit: int) -> Due:
        """Queue the delayed and retried runs that are due, and name the schedules that are."""
        now, following, queued, schedules = self._redis.run("due", limit)
        return Due(
            now=int(now),
            next_due=int(following) if following else None,
            queued=queued,
            schedules=[
                DueSchedule(task_id=task_id, due_at=int(due), status=status, text=about)
                for task_id, due, status, about in schedules
            ],
        )

    def upcoming(self, after: int, until: int, *, offset: int, limit: int) -> Sequence[DueSchedule]:
        """Schedules that will be due after the moment `after` and not later than `until`, the earliest first.

        `offset` leaves out the first ones, which an earlier page had.
        """
        return [
            DueSchedule(task_id=task_id, due_at=int(due), status=status, text=about)
            for task_id, due, status, about in self._redis.run("upcoming", after, until, offset, limit)
        ]

    def fire(self, orders: Sequence[FireOrder]) -> Sequence[Sequence[str]]:
        """Make the runs of schedules that are due and advance them, all in one step; for each, ids of runs now queued.

        Nothing happens where another beat was first, or where somebody paused or edited the task meanwhile: the due
        time and the status it was seen with must still stand.
        """
        queued: Sequence[Sequence[str]] = self._redis.run("fire", *map(_order, orders))
        return queued

    def tick(self) -> None:
        """Note that a beat lives. Leases that ran out while none did are extended, so that workers can be heard."""
        self._redis.run("tick")

    def await_wake(self, seconds: float) -> None:
        """Wait up to `seconds`, less where something with an earlier due time arrives."""
        self._redis.command("BLPOP", f"{PREFIX}wake", seconds)

    def reap(self, limit: int) -> Sequence[tuple[str, str]]:
        """Take runs from workers whose lease ran out; each run's id and its status now."""
        return [(run_id, status) for run_id, status in self._redis.run("reap", limit)]

    def prune(self, ttl: int, limit: int) -> int:
        """Remove at most `limit` tasks that ended more than `ttl` seconds ago; how many."""
        return int(self._redis.run("prune", ttl * 1000, limit))


def first_run_id(task_id: str) -> str:
    """The id of a task's first run."""
    return f"{task_id}.1"


def _claim(answer: Sequence[Any]) -> Claim:
    run_id, kind, attempt, started, about, spec = answer
    return Claim(
        run_id=run_id,
        kind=kind,
        attempt=int(attempt),
        started_at=int(started),
        about=json.loads(about),
        spec=json.loads(spec),
    )


def _order(order: FireOrder) -> str:
    """As fire.lua reads it."""
    seen = order.schedule
    return compact(
        [
            *(seen.task_id, str(seen.due_at), seen.status, "" if order.next_due is None else str(order.next_due)),
            *(order.overlap, order.max_runs or 0, list(order.fire), list(order.skip), order.reason, order.missed),
        ]
    )


def _lower(text: str) -> str:
    """`text` as Lua's string.lower makes it: letters beyond ASCII stay as they are."""
    return text.encode().lower().decode()


def _told(answer: Any) -> Sequence[tuple[int, bool]] | Exception:
    try:
        return answer if isinstance(answer, Exception) else submitting.told(answer)
    except errors.ServiceError as refusal:
        return refusal


def _no_task(task_id: str) -> errors.TaskNotFound:
    return errors.TaskNotFound(f"There is no task {task_id[:64]}.")
