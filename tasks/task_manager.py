"""TaskManager: the verbs. The only code that changes a task."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from config.settings import Settings
from tasks import errors, identifier, moment, principal
from tasks.base_tasks import Kind
from tasks.model import FINISHED, Priority, Run, Status, Task, TaskType
from tasks.principal import Principal
from tasks.store import Quotas, Store
from tasks.store.store import first_run_id
from tasks.submission import Parser, cron_of

log = logging.getLogger(__name__)

#: Workers that may die under a run of a repeatable kind before it counts as poison and ends `lost`.
LOSSES = 2


class Bell(Protocol):
    """Tells the workers that runs wait. It may fail or ring twice: the Store knows the truth."""

    def ring(self, run_ids: Iterable[str], priority: Priority = Priority.NORMAL) -> None:
        """Ring once for each run. Raises nothing where nobody hears it."""


class TaskManager:
    """What can be done with tasks, by whom. Each verb raises StoreUnavailable where Redis is away.

    `who` tells who asks. A verb that is given the id of a task takes it through `_seen` or `_changed`, and nothing else
    decides whose it is: a task that whoever asks may not see raises TaskNotFound like one that does not exist.
    """

    def __init__(
        self,
        *,
        store: Store,
        bell: Bell,
        kinds: Mapping[str, Kind],
        settings: Settings,
        clock: Callable[[], int] = moment.now,
        who: Callable[[], Principal] = principal.anonymous,
    ) -> None:
        self._store = store
        self._bell = bell
        self._kinds = kinds
        self._settings = settings
        self._clock = clock
        self._who = who
        self._quotas = Quotas(tasks=settings.task_quota, schedules=settings.schedule_quota)
        self._parser = Parser(kinds, settings)

    def submit(self, body: Any) -> Task:
        """Store the task that `body` describes and ring for its first run.

        It belongs to whoever asks. Raises InvalidTask, Forbidden and TooMuch, storing nothing.
        """
        owner = self._changer().name
        accepted = self._parser.parse(body, self._clock())
        task = dataclasses.replace(accepted.task, owner=owner)
        losses = LOSSES if self._kinds[task.kind].repeatable else task.retry.max
        due, rings = self._store.submit(
            task, delay=accepted.delay, losses=losses, history=self._settings.run_history, quotas=self._quotas
        )
        log.info("task %s submitted: %s, %s", task.id, task.task_type, task.kind)
        if rings:
            self._bell.ring([first_run_id(task.id)], task.priority)
        return _as_stored(task, due)

    def get(self, task_id: str) -> Task:
        """One task with its last run. Raises TaskNotFound."""
        return self._store.get(self._seen(task_id))

    def list(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        filters: Mapping[str, str],
        name: str = "",
        created_after: int | None = None,
        created_before: int | None = None,
    ) -> tuple[Sequence[Task], str | None, int | None]:
        """A page of tasks that whoever asks may see, newest first; the cursor of the next one; how many match.

        How many is None where that is not cheap to tell.
        """
        who = self._who()
        if not who.sees(filters.get("owner", who.name)):
            return (), None, 0
        if not who.sees_all:
            filters = {**filters, "owner": who.name}
        return self._store.list(
            limit=limit,
            cursor=cursor,
            filters=filters,
            name=name,
            after=None if created_after is None else identifier.first_at(created_after + 1),
            before=None if created_before is None else identifier.first_at(created_before),
        )

    def runs(
        self, task_id: str, *, limit: int, below: int | None = None, status: str = ""
    ) -> tuple[Sequence[Run], int | None, int]:
        """Runs of a task, newest first; the number to go on below; how many are kept. Raises TaskNotFound."""
        return self._store.runs(self._seen(task_id), limit=limit, below=below, status=status)

    def run(self, task_id: str, run_id: str) -> Run:
        """One run. Raises TaskNotFound and RunNotFound."""
        owner, _, number = run_id.rpartition(".")
        if owner == task_id and number.isascii() and number.isdigit() and len(number) < 12:
            found, _, _ = self.runs(task_id, limit=1, below=int(number) + 1)
            if found and found[0].id == run_id:
                return found[0]
        else:
            self.get(task_id)
        raise errors.RunNotFound(f"Task {task_id} has no run {run_id[:80]}.")

    def stop(self, task_id: str) -> Task:
        """Stop a task; it is `stopping` while its run is being ended.

        Raises TaskNotFound, and IllegalMove where it had ended by itself.
        """
        was, status = self._store.stop(self._changed(task_id))
        if was in (FINISHED | {Status.COMPLETED}) - {Status.STOPPED} and status == was:
            raise errors.IllegalMove(f"Task {task_id} has ended ({was}) and cannot be stopped.")
        if was != status:
            log.info("task %s %s on request", task_id, status)
        return self._store.get(task_id)

    def delete(self, task_id: str) -> None:
        """Remove a task with all its runs; one in progress is ended first. Raises TaskNotFound."""
        self._store.delete(self._changed(task_id))
        log.info("task %s deleted", task_id)

    def upcoming(self, task: Task, count: int) -> Sequence[int]:
        """The next times (ms) at which a scheduled task is going to run, at most `count`."""
        if task.task_type is not TaskType.SCHEDULED or task.next_run_at is None:
            return ()
        following = cron_of(task.id, task.timing, task.next_run_at).upcoming(task.next_run_at, count - 1)
        return (task.next_run_at, *following)

    def health(self) -> dict[str, Any]:
        """Live workers, Beat's last tick, how much waits, and what each kind says of itself."""
        health = self._store.health(tuple(self._kinds))
        for kind in self._kinds.values():
            health.update(kind.health())
        return health

    # --- whose task it is ----------------------------------------------------------------------------------------

    def _seen(self, task_id: str) -> str:
        """The id, if it has the form of one and whoever asks may see the task. Raises TaskNotFound.

        Owners never change and ids are never given twice, so what is true here stays true until the verb is done.
        """
        who = self._who()
        if identifier.is_id(task_id):
            if who.sees_all:
                return task_id
            owner = self._store.owner(task_id)
            if owner is not None and who.sees(owner):
                return task_id
        raise errors.TaskNotFound(f"There is no task {task_id[:64]}.")

    def _changed(self, task_id: str) -> str:
        """The id, if whoever asks may see the task and change it. Raises TaskNotFound and Forbidden."""
        seen = self._seen(task_id)
        self._changer()
        return seen

    def _changer(self) -> Principal:
        """Who asks, if he may change tasks. Raises Forbidden."""
        who = self._who()
        if not who.changes:
            raise errors.Forbidden(f"The role {who.role} reads tasks and changes none.")
        return who


def _as_stored(task: Task, due: int) -> Task:
    """The task as the Store has it now. Asking the Store again could fail, and the task would seem refused."""
    if task.task_type is TaskType.SCHEDULED:
        return dataclasses.replace(task, next_run_at=due)
    queued = due if task.status is Status.QUEUED else None
    run = Run(id=first_run_id(task.id), task_id=task.id, number=1, status=task.status, due_at=due, queued_at=queued)
    return dataclasses.replace(task, next_run_at=None if queued else due, run_count=1, last_run=run)
