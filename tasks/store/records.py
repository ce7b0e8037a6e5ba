"""What goes into the Store's verbs and comes out of them, beside tasks and runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from tasks.model import Run, Status, Task, TaskType

#: Upper bounds of the buckets in which delays and durations of runs are counted, in milliseconds; one more has none.
BUCKETS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 1_800_000)


@dataclass(frozen=True, kw_only=True)
class Quotas:
    """How much one owner may have; None: any number."""

    tasks: int | None = None
    #: Scheduled tasks that have not ended.
    schedules: int | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A task to be stored."""

    task: Task
    #: Milliseconds from now by Redis' clock at which it is due; None: `task.next_run_at` says when.
    delay: int | None
    #: How many workers may die under a run before it counts as lost.
    losses: int


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A bell's message that the Store can put into its list by itself, with RUN in the place of the run's id."""

    #: The scripts look for this.
    RUN: ClassVar[str] = "%run%"
    list: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Note:
    """An entry of the audit log, which keeps about the last `keep`."""

    entry: Mapping[str, str]
    keep: int


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A run that a worker has taken, with all it needs to do it."""

    run_id: str
    kind: str
    attempt: int
    started_at: int
    about: Mapping[str, Any]
    spec: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The attempt, as the scripts name it."""
        return f"{self.run_id} {self.attempt}"


@dataclass(frozen=True, kw_only=True)
class DueSchedule:
    """A scheduled task whose time has come, or will soon."""

    task_id: str
    due_at: int
    #: `scheduled`, or `paused`: then its occurrences are skipped.
    status: str
    #: Name, timing and so on as stored, JSON.
    text: str

    @cached_property
    def timing(self) -> Mapping[str, Any]:
        """The timing fields."""
        timing: Mapping[str, Any] = json.loads(self.text)["timing"]
        return timing


@dataclass(frozen=True, kw_only=True)
class FireOrder:
    """What becomes of the due occurrences of one schedule."""

    schedule: DueSchedule
    #: None: never again.
    next_due: int | None
    overlap: str
    max_runs: int | None
    #: Due times to run, and to record as skipped, with how many more were skipped, and why.
    fire: Sequence[int]
    skip: Sequence[int] = ()
    missed: int = 0
    reason: str = "misfire"


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A task's status before and after a verb, and its type, which decides whether the verb meant anything to it."""

    task_type: TaskType
    was: Status
    status: Status


@dataclass(frozen=True, kw_only=True)
class Due:
    """What is due now."""

    now: int
    next_due: int | None
    queued: Sequence[str]
    schedules: Sequence[DueSchedule]


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """What a worker learns from its heartbeat: runs to stop, attempts (`Claim.id`) it has lost, runs that wait."""

    stops: Sequence[str]
    lost: Sequence[str]
    waiting: Sequence[str]
    #: Whether a callback is due.
    callbacks: bool = False


@dataclass(frozen=True, kw_only=True)
class Spans:
    """How many spans of time fell into each bucket, the one without a bound last, and their sum in milliseconds."""

    counts: Sequence[int]
    total: int


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What is there now, and what happened since the first task and in the last minutes."""

    now: int
    tasks: int
    by_status: Mapping[Status, int]
    #: The earliest moment at which something is due; in the past where it is late.
    first_due: int | None
    #: By type of the task and kind.
    submitted: Mapping[tuple[str, str], int]
    #: Runs by kind and status.
    ended: Mapping[tuple[str, str], int]
    #: From when a run was due until its first attempt started, and from the start of its last attempt to its end.
    delays: Mapping[str, Spans]
    durations: Mapping[str, Spans]
    #: Callbacks by what became of them (`delivered`, `failed`, `dropped`), and their `tries`.
    callbacks: Mapping[str, int]
    #: `submitted` and `ended:{status}` of each minute, the current one first.
    minutes: Sequence[Mapping[str, int]]


@dataclass(frozen=True, kw_only=True)
class Look:
    """A task's status, and what a reader of its events has not seen of the run that it follows."""

    status: Status
    #: How many runs the task had so far.
    runs: int
    #: None where there is no run to follow yet. Its output is whole where it has an outcome, else what was not seen.
    run: Run | None = None
    has_outcome: bool = False
