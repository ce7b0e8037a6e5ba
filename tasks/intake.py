"""Intake: from what users submit to stored tasks, one or many, all or none."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from config.settings import Settings
from tasks.base_tasks import Kind
from tasks.errors import FieldProblem, InvalidTask
from tasks.model import Priority, Run, Status, Task, TaskType, changed
from tasks.store import Batch, Entry, Letter, Note, Quotas, Receipt, Store
from tasks.store.store import first_run_id
from tasks.submission import Accepted, Parser

log = logging.getLogger(__name__)

#: Workers that may die under a run of a repeatable kind before it counts as poison and ends `lost`.
LOSSES = 2
#: Tasks that may be submitted at once.
MOST_AT_ONCE = 1000


class Bell(Protocol):
    """Tells the workers that runs wait. It may fail or ring twice: the Store knows the truth."""

    #: What the Store can ring with in the step that stores a task; None where only `ring` rings.
    letters: Mapping[Priority, Letter] | None

    def ring(self, run_ids: Iterable[str], priority: Priority = Priority.NORMAL) -> None:
        """Ring once for each run. Raises nothing where nobody hears it."""


@dataclass(frozen=True, kw_only=True)
class Promise:
    """That a request has its effect once: its open receipt, and how the answer is made that is kept there."""

    receipt: Receipt
    answer: Callable[[Sequence[Task]], str]


#: What is to stand in the audit log about tasks that are stored.
Account = Callable[[Sequence[Task]], Mapping[str, str]]


class Intake:
    """Knows what is valid, and stores it."""

    def __init__(
        self, *, store: Store, bell: Bell, kinds: Mapping[str, Kind], settings: Settings, clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._bell = bell
        self._kinds = kinds
        self._clock = clock
        self._history = settings.run_history
        self._audit_length = settings.audit_length
        self._quotas = Quotas(tasks=settings.task_quota, schedules=settings.schedule_quota)
        self.parser = Parser(kinds, settings)

    def accept(self, body: Any) -> Accepted:
        """The task that `body` describes, stored nowhere. Raises InvalidTask."""
        return self.parser.parse(body, self._clock())

    def accept_all(self, bodies: Sequence[Any], place: str) -> Sequence[Accepted]:
        """The tasks that `bodies` describe, stored nowhere.

        Raises InvalidTask with every problem of every body; `place` is the JSON Pointer to the list of them.
        """
        accepted: list[Accepted] = []
        problems: list[FieldProblem] = []
        for index, body in enumerate(bodies):
            try:
                accepted.append(self.accept(body))
            except InvalidTask as error:
                problems.extend(_indexed(problem, index, place) for problem in error.problems)
        if problems:
            raise InvalidTask(problems)
        return accepted

    def store(
        self,
        accepted: Sequence[Accepted],
        owner: str,
        promise: Promise | None = None,
        account: Account | None = None,
    ) -> Sequence[Task]:
        """Store tasks of `owner`, all or none, and ring for their first runs; the tasks as they are stored.

        What `account` says of them goes into the audit log in the same step. Raises TooMuch where a quota is full and
        ReceiptTaken where another try of the same request came first.
        """
        batch = self.batch(accepted, owner, promise, account)
        return self._stored(batch, self._store.submit_all(batch))

    def batch(
        self, accepted: Sequence[Accepted], owner: str, promise: Promise | None, account: Account | None
    ) -> Batch:
        """What `store` stores, as the Store takes it."""
        entries = [self._entry(each, owner, promise) for each in accepted]
        tasks = [entry.task for entry in entries]
        return Batch(
            entries=entries,
            owner=owner,
            history=self._history,
            quotas=self._quotas,
            receipt=promise.receipt if promise else None,
            answer=promise.answer([_as_stored(task, _due(task)) for task in tasks]) if promise else "",
            note=Note(entry=account(tasks), keep=self._audit_length) if account else None,
            letters=self._bell.letters,
        )

    def read(self, body: Any, owner: str, account: Account) -> Batch | InvalidTask:
        """The one task that `body` describes, as the Store takes it, or what is wrong with it."""
        try:
            return self.batch([self.accept(body)], owner, None, account)
        except InvalidTask as fault:
            return fault

    def store_each(self, batches: Sequence[Batch]) -> Sequence[Sequence[Task] | Exception]:
        """Store batches that have nothing to do with each other as `store` does; for each its tasks, or its fault."""
        told = self._store.submit_each(batches)
        return [
            found if isinstance(found, Exception) else self._stored(batch, found)
            for batch, found in zip(batches, told, strict=True)
        ]

    def _stored(self, batch: Batch, stored: Sequence[tuple[int, bool]]) -> Sequence[Task]:
        tasks = [entry.task for entry in batch.entries]
        self._ring(task for task, (_, rings) in zip(tasks, stored, strict=True) if rings)
        for task in tasks:
            log.info("task %s submitted: %s, %s", task.id, task.task_type, task.kind)
        return [_as_stored(task, due) for task, (due, _) in zip(tasks, stored, strict=True)]

    def is_quick(self, body: Any) -> bool:
        """Whether it takes no time to speak of to find out if `body` describes a task."""
        return (
            isinstance(body, dict)
            and body.get("task_type") != TaskType.SCHEDULED
            and all(kind.knows(body) for kind in self._kinds.values() if kind.marks & body.keys())
        )

    def losses(self, task: Task) -> int:
        """How many workers may die under a run of the task before it counts as lost."""
        return LOSSES if self._kinds[task.kind].repeatable else task.retry.max

    def _entry(self, accepted: Accepted, owner: str, promise: Promise | None) -> Entry:
        task, delay = changed(accepted.task, owner=owner), accepted.delay
        if promise and task.next_run_at is None:
            # The answer is kept in the step that stores the task, so it must be known before: the time is Redis' own.
            task, delay = changed(task, next_run_at=promise.receipt.now + (delay or 0)), None
        return Entry(task=task, delay=delay, losses=self.losses(task))

    def _ring(self, tasks: Iterable[Task]) -> None:
        runs: dict[Priority, list[str]] = {}
        for task in tasks:
            runs.setdefault(task.priority, []).append(first_run_id(task.id))
        for priority in Priority:
            if priority in runs:
                self._bell.ring(runs[priority], priority)


def _due(task: Task) -> int:
    return task.next_run_at or task.created_at


def _as_stored(task: Task, due: int) -> Task:
    """The task as the Store has it now. Asking the Store again could fail, and the task would seem refused."""
    if task.task_type is TaskType.SCHEDULED:
        return changed(task, next_run_at=due)
    queued = due if task.status is Status.QUEUED else None
    run = Run(id=first_run_id(task.id), task_id=task.id, number=1, status=task.status, due_at=due, queued_at=queued)
    return changed(task, next_run_at=None if queued else due, run_count=1, last_run=run)


def _indexed(problem: FieldProblem, index: int, place: str) -> FieldProblem:
    return dataclasses.replace(problem, pointer=f"{place}/{index}{problem.pointer}", index=index)


def many(body: Any, name: str) -> Sequence[Any]:
    """The list in the one field of `body`. Raises InvalidTask where it is not a list of 1 to MOST_AT_ONCE entries."""
    if not isinstance(body, dict):
        raise InvalidTask([_problem("", "not_an_object", f"The body must be a JSON object with the field `{name}`.")])
    problems = [
        _problem(f"/{field[:60]}", "unknown_field", "There is no such field.") for field in body if field != name
    ]
    entries = body.get(name)
    if not isinstance(entries, list):
        problems.append(_problem(f"/{name}", "wrong_type" if name in body else "missing", "must be a list of tasks."))
    elif not 0 < len(entries) <= MOST_AT_ONCE:
        text = f"must have 1 to {MOST_AT_ONCE} entries; these are {len(entries)}."
        problems.append(_problem(f"/{name}", "too_large" if entries else "too_small", text))
    if problems or not isinstance(entries, list):
        raise InvalidTask(problems)
    return entries


def _problem(pointer: str, code: str, message: str) -> FieldProblem:
    return FieldProblem(pointer=pointer, code=code, message=message)
