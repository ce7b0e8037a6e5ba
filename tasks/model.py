"""The records: Task, Run, Outcome, their statuses, and the one table of moves. Frozen; nothing here does I/O.

All moments are integers: milliseconds since 1970-01-01T00:00:00Z. All durations are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class TaskType(StrEnum):
    """When a task runs."""

    IMMEDIATE = "immediate"
    DELAYED = "delayed"
    SCHEDULED = "scheduled"


class Priority(StrEnum):
    """Which of two waiting runs goes first."""

    HIGH = "high"
    NORMAL = "normal"


class Status(StrEnum):
    """Where a task or a run stands."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    STOPPED = "stopped"
    LOST = "lost"
    EXPIRED = "expired"
    SKIPPED = "skipped"
    PAUSED = "paused"
    COMPLETED = "completed"


S = Status

#: From which status a run may move to which; a finished run never changes. The store's scripts are given this
#: table, and docs/explain/states.md is generated from it.
RUN_MOVES: Mapping[Status, frozenset[Status]] = {
    S.SCHEDULED: frozenset({S.QUEUED, S.STOPPED, S.EXPIRED}),
    S.QUEUED: frozenset({S.RUNNING, S.STOPPED, S.EXPIRED}),
    S.RUNNING: frozenset({S.SUCCEEDED, S.FAILED, S.TIMED_OUT, S.RETRYING, S.STOPPING, S.QUEUED, S.LOST}),
    S.RETRYING: frozenset({S.QUEUED, S.STOPPED, S.EXPIRED}),
    S.STOPPING: frozenset({S.STOPPED}),
}

#: The same for a task of type `scheduled`. An immediate or delayed task has the status of its one run.
SCHEDULE_MOVES: Mapping[Status, frozenset[Status]] = {
    S.SCHEDULED: frozenset({S.PAUSED, S.COMPLETED, S.STOPPING, S.STOPPED}),
    S.PAUSED: frozenset({S.SCHEDULED, S.COMPLETED, S.STOPPING, S.STOPPED}),
    S.COMPLETED: frozenset({S.STOPPING}),
    S.STOPPING: frozenset({S.STOPPED}),
}

#: Statuses of a run that has ended.
FINISHED: frozenset[Status] = frozenset({S.SUCCEEDED, S.FAILED, S.TIMED_OUT, S.STOPPED, S.LOST, S.EXPIRED, S.SKIPPED})

#: Statuses of a task that will never run again.
ENDED: frozenset[Status] = FINISHED | {S.COMPLETED}


@dataclass(frozen=True, kw_only=True)
class Done:
    """The attempt did its work; `value` is plain JSON data."""

    value: Any


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The attempt did not do its work. Data, never an exception that crosses processes."""

    #: Stable machine word, such as `code_raised`, `timed_out` or `address_not_allowed`.
    code: str
    #: One plain sentence for a person.
    message: str
    #: The user's own frames only.
    traceback: str | None = None
    #: The line of the user's code, counted from 1.
    line: int | None = None
    #: True where trying again cannot help.
    permanent: bool = True
    #: What the work had produced all the same, such as the HTTP answer with an unexpected status.
    value: Any = None
    #: Seconds the other side asked us to wait before another try (Retry-After), where it did.
    retry_after: float | None = None


Outcome = Done | Failed


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one attempt may use."""

    #: Wall-clock seconds.
    timeout: float
    #: Bytes of the result as JSON in UTF-8.
    max_result_bytes: int


@dataclass(frozen=True, kw_only=True)
class Retry:
    """When a failed attempt is tried again (`retry` of a task)."""

    #: Attempts after the first.
    max: int = 0
    #: Seconds before the second attempt.
    backoff: float = 1.0
    #: Each further wait is this many times longer.
    factor: float = 2.0
    #: Seconds a wait never exceeds.
    max_delay: float = 3600.0
    #: Share of the wait drawn at random, 0 to 1, so that many retries do not come at once.
    jitter: float = 0.1
    #: Error codes, or HTTP statuses (`503`) and classes (`5xx`), that are worth another try; empty: all not permanent.
    on: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Callback:
    """Where the end of a task's runs is told."""

    url: str
    #: Statuses of runs whose end is told.
    events: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One occurrence of a task."""

    id: str
    task_id: str
    #: 1 for the task's first run.
    number: int
    status: Status
    due_at: int
    queued_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    #: Why it ended as it did, in one machine word.
    reason: str | None = None
    #: The worker that has it or had it last.
    worker: str | None = None
    #: How often it was started.
    attempt: int = 0
    #: One entry for each attempt that ended: number, worker, started_at, finished_at, status, code.
    attempts: tuple[Mapping[str, Any], ...] = ()
    result: Any = None
    error: Mapping[str, Any] | None = None
    stdout: str = ""
    stderr: str = ""
    output_truncated: bool = False
    usage: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the user asked for: work, schedule and limits."""

    id: str
    name: str
    task_type: TaskType
    kind: str
    #: The kind's own validated fields as submitted; empty in listings, which leave it out.
    spec: Mapping[str, Any]
    #: `delay_seconds`, `run_at`, `cron_expression`, … as submitted.
    timing: Mapping[str, Any] = field(default_factory=dict)
    #: Seconds an attempt may take.
    timeout: float
    retry: Retry = Retry()
    #: Seconds after its due time at which a run that has not started is given up; None: never.
    expires_in: float | None = None
    callback: Callback | None = None
    tags: tuple[str, ...] = ()
    priority: Priority = Priority.NORMAL
    status: Status
    reason: str | None = None
    created_at: int
    updated_at: int
    #: Counts how often it was edited, paused or resumed; 1 at first.
    revision: int = 1
    #: A paused task keeps it: the occurrence is then recorded as skipped.
    next_run_at: int | None = None
    run_count: int = 0
    #: The name of who submitted it.
    owner: str = "anonymous"
    #: How many of the runs the schedule itself started; `max_runs` is about these.
    fired: int = 0
    #: How many occurrences were skipped without a row of their own, because there were too many at once.
    missed: int = 0
    last_run: Run | None = None


def changed(task: Task, **fields: Any) -> Task:
    """The task with other values in these fields: dataclasses.replace takes ten times as long over so many."""
    made = object.__new__(Task)
    made.__dict__.update(task.__dict__, **fields)
    return made
