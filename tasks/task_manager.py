"""TaskManager: the verbs. The only code that changes a task."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from config.settings import Settings
from tasks import errors, follow, identifier, moment, principal, transfer
from tasks.base_tasks import Kind
from tasks.definition import changes_time, edited
from tasks.follow import Follower, Place
from tasks.intake import Account, Bell, Intake, Promise, many
from tasks.keyring import Keyring
from tasks.model import FINISHED, Run, Status, Task, TaskType
from tasks.planner import missed_until
from tasks.preview import Preview, preview
from tasks.principal import Principal
from tasks.signature import Signer
from tasks.store import MOST_KEPT, Batch, Busy, Full, Kept, Receipt, Reused, Store, Tally
from tasks.store.deliveries import DeliveryLog, Generation
from tasks.store.secrets import Secret
from tasks.submission import stored_cron

log = logging.getLogger(__name__)

#: How often a verb that reads a task and then changes it begins again because somebody else came between. Each time
#: somebody else has got through.
TRIES = 50
#: In which status a task is still to run, so that it may be edited.
EDITABLE = {
    TaskType.IMMEDIATE: frozenset[Status](),
    TaskType.DELAYED: frozenset({Status.SCHEDULED}),
    TaskType.SCHEDULED: frozenset({Status.SCHEDULED, Status.PAUSED}),
}


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
        self._keyring = Keyring(store, settings)
        self._signer = Signer(settings)
        self._intake = Intake(store=store, bell=bell, kinds=kinds, settings=settings, clock=clock)

    def asked_by(self, who: Principal) -> TaskManager:
        """The same, where it is known who asks."""
        known = copy.copy(self)
        known._who = lambda: who
        return known

    def submit(self, body: Any, promise: Promise | None = None, account: Account | None = None) -> Task:
        """Store the task that `body` describes and ring for its first run.

        It belongs to whoever asks; what `account` says goes into the audit log. Raises InvalidTask, Forbidden and
        TooMuch, storing nothing.
        """
        owner = self._changer().name
        return self._intake.store([self._intake.accept(body)], owner, promise, account)[0]

    def submit_each(self, asked: Sequence[tuple[Any, Account]]) -> Sequence[Task | Exception]:
        """Store the tasks that bodies describe, each with its account and as `submit` does, in one round trip.

        They have nothing to do with each other: one that is refused is an InvalidTask or TooMuch in its place.
        """
        owner = self._changer().name
        read = [self._intake.read(body, owner, account) for body, account in asked]
        stored = iter(self._intake.store_each([each for each in read if isinstance(each, Batch)]))
        found = [next(stored) if isinstance(each, Batch) else each for each in read]
        return [each if isinstance(each, Exception) else each[0] for each in found]

    def is_quick(self, body: Any) -> bool:
        """Whether submitting `body` takes no longer than Redis does."""
        return self._intake.is_quick(body)

    def submit_all(self, body: Any, promise: Promise | None = None, account: Account | None = None) -> Sequence[Task]:
        """Store the tasks that `body` lists in `tasks`, all or none; otherwise as `submit` does."""
        owner = self._changer().name
        return self._intake.store(self._intake.accept_all(many(body, "tasks"), "/tasks"), owner, promise, account)

    def export(self, *, limit: int, cursor: str | None, tag: str | None) -> tuple[Sequence[dict[str, Any]], str | None]:
        """A page of the schedules that whoever asks may see and that have not ended; the next cursor.

        They are as `import_all` takes them, and a page is cut where it would become too large for that.
        """
        filters = {"type": TaskType.SCHEDULED.value} | ({"tag": tag} if tag else {})
        found, following, _ = self.list(limit=limit, cursor=cursor, filters=filters)
        return transfer.page(found, following, self._store.get, room=self._settings.max_body_bytes - 2_000)

    def import_all(self, body: Any, promise: Promise | None = None, account: Account | None = None) -> Sequence[Task]:
        """Store the schedules that `export` gave, all or none, paused ones paused; otherwise as `submit_all` does."""
        owner = self._changer().name
        bodies, paused = transfer.unpacked(many(transfer.without_cursor(body), "tasks"))
        accepted = self._intake.accept_all(bodies, "/tasks")
        transfer.check(accepted)
        return self._intake.store(transfer.with_pauses(accepted, paused), owner, promise, account)

    def validate(self, body: Any) -> Task:
        """The task that `body` describes, as it would be stored; its id is not its own. Raises InvalidTask."""
        accepted = self._intake.accept(body)
        due = self._clock() + (accepted.delay or 0)
        return dataclasses.replace(accepted.task, owner=self._who().name, next_run_at=accepted.task.next_run_at or due)

    def open_receipt(self, key: str, *, fingerprint: str, token: str) -> Receipt | Busy | Kept | Reused:
        """Open the receipt that whoever asks has under `key`, or say why not: nobody meets the keys of others.

        Raises TooMuch where so much is kept for him already that nothing more is.
        """
        owner = self._who().name
        owned = hashlib.sha256(f"{owner}\n{key}".encode()).hexdigest()
        most = MOST_KEPT if self._settings.auth_is_required else None
        found = self._store.receipts.open(owned, fingerprint=fingerprint, token=token, owner=owner, most=most)
        if isinstance(found, Full):
            text = "As much as may be is kept for your Idempotency-Keys; send this without one, or some hours later."
            raise errors.TooMuch(text, code="quota_exceeded", retry_after=3600)
        return Kept(answer=self._keyring.opened(owned, found.answer)) if isinstance(found, Kept) else found

    def close_receipt(self, receipt: Receipt, answer: str, *, sealed: bool = False) -> None:
        """Keep the answer there, sealed where it holds a secret; forget the receipt where there is none."""
        self._store.receipts.close(receipt, self._keyring.sealed(receipt.key, answer) if sealed and answer else answer)

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

    def follow(self, task_id: str, start: Place, *, leaving: Callable[[], bool]) -> Follower:
        """The events of a task behind `start`, until `leaving`. Raises TaskNotFound."""
        return Follower(self._store, self._seen(task_id), start, leaving=leaving)

    def await_end(self, task: Task, seconds: float, *, leaving: Callable[[], bool]) -> Task:
        """The task once it has ended, or as it is after `seconds`."""
        follow.await_end(self._store, task.id, seconds, leaving=leaving)
        return self._store.get(task.id)

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

    def pause(self, task_id: str) -> Task:
        """Let a scheduled task record its occurrences as skipped until it is resumed; pausing twice is fine.

        Raises TaskNotFound, and IllegalMove where it is not scheduled or has ended.
        """
        moved = self._store.pause(self._changed(task_id))
        _must_be_scheduled(task_id, moved.task_type, "paused")
        if moved.status is not Status.PAUSED:
            raise errors.IllegalMove(f"Task {task_id} is {moved.status} and cannot be paused.")
        if moved.was is not Status.PAUSED:
            log.info("task %s paused on request", task_id)
        return self._store.get(task_id)

    def resume(self, task_id: str) -> Task:
        """Let a paused task fire again, from its next time on; what passed meanwhile is recorded as skipped.

        Raises TaskNotFound, and IllegalMove where it is not scheduled or has ended.
        """
        for _ in range(TRIES):
            task = self._store.get(self._changed(task_id))
            _must_be_scheduled(task_id, task.task_type, "resumed")
            if task.status is Status.SCHEDULED:
                return task
            if task.status is not Status.PAUSED or task.next_run_at is None:
                raise errors.IllegalMove(f"Task {task_id} is {task.status} and cannot be resumed.")
            now, cron = self._clock(), stored_cron(task_id, task.timing)
            skip, more = missed_until(cron, task.next_run_at, now)
            following = cron.next_after(now) if skip else task.next_run_at
            if self._store.resume(task, next_due=following, skip=skip, missed=more).status is not Status.PAUSED:
                log.info("task %s resumed on request", task_id)
                return self._store.get(task_id)
        raise errors.IllegalMove(f"Task {task_id} changes too fast; try again.")

    def run_now(self, task_id: str, receipt: Receipt | None = None) -> Run:
        """Start a run at once; the schedule of the task stays as it is. A delayed task starts its one run early.

        A further try of a request, known by its `receipt`, starts nothing and has the same run.

        Raises TaskNotFound, and IllegalMove where the task has ended or `overlap` does not let another run in.
        """
        task = self._store.get(self._changed(task_id))
        status, run_id, run_status = self._store.run_now(task_id, str(task.timing.get("overlap", "")), receipt)
        if not run_id:
            if status in (Status.SCHEDULED, Status.PAUSED):
                raise errors.IllegalMove(
                    f"Task {task_id} has runs in progress, and its overlap is {task.timing['overlap']}.", code="overlap"
                )
            raise errors.IllegalMove(f"Task {task_id} is {status} and cannot be run now.")
        log.info("task run %s started on request", run_id)
        if run_status == Status.QUEUED:
            self._bell.ring([run_id], task.priority)
        return self.run(task_id, run_id)

    def edit(self, task_id: str, patch: Any, *, revisions: Collection[int] | None = None) -> Task:
        """Change a task that is still to run. Runs that have started keep what they have.

        `revisions` are those that who asks would change. Raises TaskNotFound, InvalidTask with every problem as at
        submission, TaskChanged where the task is at another, and IllegalMove where the task has started or ended.
        """
        for _ in range(TRIES):
            task = self._store.get(self._changed(task_id))
            if revisions is not None and task.revision not in revisions:
                raise errors.TaskChanged(f"Task {task_id} was changed meanwhile; read it again.")
            if task.status not in EDITABLE[task.task_type]:
                raise errors.IllegalMove(f"Task {task_id} is {task.status} and cannot be edited.")
            if self._replace(task, patch):
                log.info("task %s edited", task_id)
                return self._store.get(task_id)
        # There was no If-Match that failed: not 412 (RFC 9110 §15.5.13).
        raise errors.IllegalMove(f"Task {task_id} changes too fast; try again.")

    def _replace(self, task: Task, patch: Any) -> bool:
        now = self._clock()
        accepted = edited(self._intake.parser, task, patch, now)
        anew = changes_time(task, accepted.task, patch)
        skip: Sequence[int] = ()
        more = 0
        if anew and task.task_type is TaskType.SCHEDULED and task.next_run_at is not None:
            skip, more = missed_until(stored_cron(task.id, task.timing), task.next_run_at, now)
        return self._store.edit(
            accepted.task,
            revision=task.revision,
            losses=self._intake.losses(accepted.task),
            seen_due=task.next_run_at if anew else None,
            delay=accepted.delay if anew else None,
            skip=skip,
            missed=more,
        )

    def preview(self, body: Any) -> Preview:
        """What a schedule is going to do, stored nowhere. Raises InvalidTask."""
        return preview(body, self._clock())

    def delete(self, task_id: str) -> None:
        """Remove a task with all its runs; one in progress is ended first. Raises TaskNotFound."""
        self._store.delete(self._changed(task_id))
        log.info("task %s deleted", task_id)

    def upcoming(self, task: Task, count: int) -> Sequence[int]:
        """The next times (ms) at which a scheduled task is going to run, at most `count`."""
        if task.task_type is not TaskType.SCHEDULED or task.status is Status.PAUSED or task.next_run_at is None:
            return ()
        following = stored_cron(task.id, task.timing).upcoming(task.next_run_at, count - 1)
        return (task.next_run_at, *following)

    def health(self) -> dict[str, Any]:
        """Live workers, Beat's last tick, how much waits, and what each kind says of itself."""
        health = self._store.health(tuple(self._kinds), of_one_owner=self._settings.run_quota)
        for kind in self._kinds.values():
            health.update(kind.health())
        return health

    def stats(self, minutes: int) -> Tally:
        """What is there and what happened, of all owners, in all and in each of `minutes`. Raises Forbidden."""
        who = self._who()
        if not who.sees_all:
            raise errors.Forbidden(f"The role {who.role} sees its own tasks and no counts of everybody's.")
        return self._store.counters.read(minutes)

    # --- callbacks -----------------------------------------------------------------------------------------------

    def deliveries(
        self, task_id: str, *, limit: int, below: int | None = None
    ) -> tuple[Sequence[DeliveryLog], int | None, int]:
        """What became of the callbacks of a task's runs, newest first; the number to go on below; how many there are.

        Raises TaskNotFound.
        """
        return self._store.deliveries.list(self._seen(task_id), limit=limit, below=below)

    def deliver_again(self, task_id: str, run_id: str, receipt: Receipt | None = None) -> DeliveryLog:
        """Deliver the news of a run again, at once; a further try of a request, known by its `receipt`, does nothing.

        Raises TaskNotFound, CallbackNotFound and IllegalMove.
        """
        changed = self._changed(task_id)
        number = run_id.removeprefix(f"{changed}.")
        if number == run_id or not number.isascii() or not number.isdigit() or len(number) > 11:
            raise _no_callback(run_id)
        answer = self._store.deliveries.deliver_again(run_id, receipt)
        if answer == "none":
            raise errors.IllegalMove(f"Task {changed} has no callback any more.")
        found, _, _ = self._store.deliveries.list(changed, limit=1, below=int(number) + 1)
        if answer is None or not found or found[0].run_id != run_id:
            raise _no_callback(run_id)
        log.info("task run %s: callback asked for again", run_id)
        return found[0]

    def callback_secret(self) -> tuple[str, Generation]:
        """What signs the callbacks of whoever asks. Raises Forbidden."""
        owner = self._changer().name
        generation = self._store.deliveries.generation(owner)
        return self._signer.secret(owner, generation), generation

    def change_callback_secret(self, receipt: Receipt | None = None) -> tuple[str, Generation]:
        """Take another from now on; the one before signs beside it for a day. Raises Forbidden.

        A further try of a request, known by its `receipt`, changes nothing.
        """
        owner = self._changer().name
        generation = self._store.deliveries.rotate(owner, receipt)
        return self._signer.secret(owner, generation), generation

    # --- secrets -------------------------------------------------------------------------------------------------

    def put_secret(self, name: str, value: str) -> bool:
        """Keep a secret of whoever asks; whether it is new. Raises Forbidden and TooMuch."""
        return self._keyring.put(self._changer().name, name, value)

    def secrets(self) -> Sequence[Secret]:
        """Names and times of the secrets of whoever asks."""
        return self._keyring.list(self._who().name)

    def delete_secret(self, name: str) -> None:
        """Forget a secret of whoever asks. Raises Forbidden and SecretNotFound."""
        self._keyring.delete(self._changer().name, name)

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


def _no_callback(run_id: str) -> errors.CallbackNotFound:
    return errors.CallbackNotFound(f"Run {run_id[:80]} has no callback: it has not ended so, or its task wants none.")


def _must_be_scheduled(task_id: str, task_type: TaskType, verb: str) -> None:
    if task_type is not TaskType.SCHEDULED:
        raise errors.IllegalMove(f"Task {task_id} is {task_type}; only a scheduled task can be {verb}.")
