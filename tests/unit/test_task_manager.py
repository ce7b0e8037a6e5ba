"""The verbs, against a real store, with a bell that records and a clock that stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks import errors, identifier
from tasks.model import Priority, Run, Status, Task
from tasks.store import Store
from tasks.store.store import RING_AT_MOST
from tasks.task_manager import TaskManager
from tests.kinds import EchoKind, OnceKind
from tests.make import (
    HOUR,
    NOW,
    Clock,
    RecordedBell,
    client_of,
    end,
    everything,
    fire,
    keys,
    make_settings,
    run_out,
    take,
)
from tests.valkey import Valkey

S = Status


def manager_of(store: Store, folder: Path, **over: Any) -> tuple[TaskManager, RecordedBell]:
    settings, bell = make_settings(folder, **over), RecordedBell()
    kinds = {"echo": EchoKind(settings), "once": OnceKind(settings)}
    return TaskManager(store=store, bell=bell, kinds=kinds, settings=settings, clock=Clock()), bell


@pytest.fixture
def made(store: Store, tmp_path: Path) -> tuple[TaskManager, RecordedBell]:
    return manager_of(store, tmp_path)


@pytest.fixture
def manager(made: tuple[TaskManager, RecordedBell]) -> TaskManager:
    return made[0]


@pytest.fixture
def bell(made: tuple[TaskManager, RecordedBell]) -> RecordedBell:
    return made[1]


def echo(**over: Any) -> dict[str, Any]:
    return {"name": "a task", "task_type": "immediate", "echo": 1, **over}


def last(task: Task) -> Run:
    assert task.last_run is not None
    return task.last_run


def everything_but_beat(store: Store) -> dict[str, object]:
    return {key: value for key, value in everything(store).items() if not key.startswith(("{tms}:wake", "{tms}:beat"))}


# --- submit ------------------------------------------------------------------------------------------------------


def test_an_immediate_task_is_stored_then_rung_for(manager: TaskManager, bell: RecordedBell, store: Store) -> None:
    task = manager.submit(echo(name="你好", tags=["x"]))
    assert bell.rung == [(f"{task.id}.1", Priority.NORMAL)]
    assert (task.status, task.run_count, task.next_run_at) == (S.QUEUED, 1, None)
    assert store.get(task.id) == task
    assert take(store, kinds=["echo"]).run_id == f"{task.id}.1"


def test_priority_reaches_the_bell(manager: TaskManager, bell: RecordedBell) -> None:
    manager.submit(echo(priority="high"))
    assert [priority for _, priority in bell.rung] == [Priority.HIGH]


@pytest.mark.parametrize(
    "when",
    [
        {"task_type": "delayed", "delay_seconds": 60},
        {"task_type": "delayed", "run_at": "2026-01-15T13:00:00Z"},
        {"task_type": "scheduled", "cron_expression": "0 * * * *"},
    ],
)
def test_what_is_not_due_yet_is_stored_and_nobody_is_rung_for(
    manager: TaskManager, bell: RecordedBell, store: Store, when: dict[str, Any]
) -> None:
    task = manager.submit(echo(**when))
    assert (bell.rung, task.status) == ([], S.SCHEDULED)
    assert task.next_run_at is not None
    assert store.get(task.id) == task
    assert store.claim("w1", ["echo"]) is None


def test_the_answer_to_a_submission_is_what_the_store_has(manager: TaskManager, store: Store) -> None:
    for when in (
        {},
        {"task_type": "delayed", "delay_seconds": 0.5},
        {"task_type": "scheduled", "cron_expression": "0 8 * * *", "timezone": "Asia/Shanghai"},
    ):
        body = echo(**when, retry={"max": 2, "on": ["5xx"]}, expires_in=5, tags=["中", "b"], timeout=7)
        task = manager.submit(body)
        assert manager.get(task.id) == task


def test_a_refused_task_leaves_nothing_behind(manager: TaskManager, bell: RecordedBell, store: Store) -> None:
    for bad in (None, {}, echo(name=""), echo(task_type="delayed"), echo(timeout=1e9)):
        with pytest.raises(errors.InvalidTask):
            manager.submit(bad)
    assert (keys(store), bell.rung) == (set(), [])


def test_many_waiting_tasks_are_not_all_rung_for(manager: TaskManager, bell: RecordedBell) -> None:
    for _ in range(100):
        manager.submit(echo())
    assert len(bell.rung) == RING_AT_MOST


def test_runs_of_a_repeatable_kind_survive_two_dead_workers(manager: TaskManager, store: Store) -> None:
    task = manager.submit(echo())
    for _ in range(2):
        take(store, kinds=["echo"])
        run_out(store)
        assert [status for _, status in store.reap(9)] == ["queued"]
    take(store, kinds=["echo"])
    run_out(store)
    store.reap(9)
    assert manager.get(task.id).status is S.LOST


@pytest.mark.parametrize(("retry", "status"), [(None, S.LOST), ({"max": 1}, S.QUEUED)])
def test_runs_of_another_kind_are_repeated_only_where_the_task_asks_for_it(
    manager: TaskManager, store: Store, retry: object, status: Status
) -> None:
    body = {"name": "a task", "task_type": "immediate", "once": True, "retry": retry}
    task = manager.submit(body)
    take(store, kinds=["once"])
    run_out(store)
    store.reap(9)
    assert manager.get(task.id).status is status


def test_only_so_many_runs_are_kept_as_the_settings_say(store: Store, tmp_path: Path) -> None:
    manager, _ = manager_of(store, tmp_path, run_history=2)
    task = manager.submit(echo(task_type="scheduled", cron_expression="* * * * *"))
    with client_of_store(store) as redis:
        for _ in range(4):
            redis.zadd("{tms}:due", {task.id: 1})
            redis.hset(f"{{tms}}:task:{task.id}", "due", 1)
            (run_id,) = fire(store, task)
            end(store, take(store, run_id=run_id, kinds=["echo"]))
    runs, _, total = manager.runs(task.id, limit=10)
    assert (total, [run.number for run in runs]) == (2, [4, 3])


def client_of_store(store: Store) -> Any:
    pool = store._redis._redis.connection_pool
    return client_of(f"unix://{pool.connection_kwargs['path']}")


# --- get, list, runs ---------------------------------------------------------------------------------------------

NOBODY = "01a213bf-fcee-71bc-9781-d7ec8a1ec8af"
UNKNOWN = ["", "x", "1", "../x", "中文", "a" * 5000, NOBODY, NOBODY.upper(), "{tms}", "*"]


@pytest.mark.parametrize("task_id", UNKNOWN)
def test_an_unknown_id_is_not_found_by_any_verb(manager: TaskManager, store: Store, task_id: str) -> None:
    verbs = (
        manager.get,
        manager.stop,
        manager.delete,
        lambda one: manager.runs(one, limit=1),
        lambda one: manager.run(one, f"{one}.1"),
    )
    for verb in verbs:
        with pytest.raises(errors.TaskNotFound) as caught:
            verb(task_id)  # type: ignore[operator]
        assert len(caught.value.message) < 120
    assert keys(store) == set()


def test_tasks_are_listed_newest_first_without_their_work(manager: TaskManager) -> None:
    ids = [manager.submit(echo(name=f"n{number}")).id for number in range(5)]
    first, cursor, total = manager.list(limit=2, filters={})
    assert ([task.id for task in first], total) == ([ids[4], ids[3]], 5)
    assert all(task.spec == {} and task.last_run is None for task in first)
    second, cursor, _ = manager.list(limit=5, cursor=cursor, filters={})
    assert ([task.id for task in second], cursor) == ([ids[2], ids[1], ids[0]], None)


def test_lists_are_filtered_by_all_that_is_asked_for(manager: TaskManager, store: Store) -> None:
    one = manager.submit(echo(name="Alpha", tags=["x"]))
    other = manager.submit(echo(name="beta", tags=["x", "y"], task_type="delayed", delay_seconds=60))
    once = manager.submit({"name": "once", "task_type": "immediate", "once": True})

    def ids(name: str = "", **filters: str) -> list[str]:
        return [task.id for task in manager.list(limit=9, filters=filters, name=name)[0]]

    assert ids(tag="x") == [other.id, one.id]
    assert ids(tag="x", status="queued") == [one.id]
    assert ids(kind="once") == [once.id]
    assert ids(type="delayed") == [other.id]
    assert ids(name="ALPH") == [one.id]
    assert ids(tag="y", type="immediate") == []


def test_both_bounds_of_creation_are_outside(manager: TaskManager) -> None:
    task = manager.submit(echo())

    def found(**bounds: int) -> int:
        return len(manager.list(limit=9, filters={}, **bounds)[0])

    made = task.created_at
    assert found(created_after=made - 1) == 1
    assert found(created_after=made) == 0
    assert found(created_before=made + 1) == 1
    assert found(created_before=made) == 0


def test_a_run_is_found_by_its_id_and_by_no_other(manager: TaskManager, store: Store) -> None:
    task, other = manager.submit(echo()), manager.submit(echo())
    end(store, take(store, run_id=f"{task.id}.1", kinds=["echo"]), outcome={"result": 5})
    assert manager.run(task.id, f"{task.id}.1").result == 5
    for wrong in (
        f"{task.id}.2",
        f"{task.id}.0",
        f"{task.id}.01",
        f"{task.id}.-1",
        f"{task.id}.",
        f"{task.id}.1.1",
        f"{task.id}.１",
        f"{task.id}." + "9" * 50,
        f"{other.id}.1",
        task.id,
        "1",
        "x" * 500,
    ):
        with pytest.raises(errors.RunNotFound) as caught:
            manager.run(task.id, wrong)
        assert len(caught.value.message) < 200


# --- stop, delete ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "when",
    [
        {},
        {"task_type": "delayed", "delay_seconds": 60},
        {"task_type": "scheduled", "cron_expression": "* * * * *"},
    ],
)
def test_what_waits_is_stopped_at_once_and_twice_is_fine(
    manager: TaskManager, store: Store, when: dict[str, Any]
) -> None:
    task = manager.submit(echo(**when))
    stopped = manager.stop(task.id)
    assert (stopped.status, stopped.reason, stopped.next_run_at) == (S.STOPPED, "stop_requested", None)
    assert manager.stop(task.id) == stopped
    assert store.claim("w1", ["echo"], f"{task.id}.1") is None
    assert store.due(9).schedules == []


def test_what_runs_is_stopping_until_its_worker_has_ended_it(manager: TaskManager, store: Store) -> None:
    task = manager.submit(echo())
    claim = take(store, kinds=["echo"])
    assert manager.stop(task.id).status is S.STOPPING
    assert manager.stop(task.id).status is S.STOPPING
    assert end(store, claim, status=S.FAILED, reason="stopped")
    assert manager.stop(task.id).status is S.STOPPED


@pytest.mark.parametrize("status", [S.SUCCEEDED, S.FAILED, S.TIMED_OUT])
def test_what_has_ended_cannot_be_stopped(manager: TaskManager, store: Store, status: Status) -> None:
    task = manager.submit(echo())
    end(store, take(store, kinds=["echo"]), status=status)
    before = everything_but_beat(store)
    with pytest.raises(errors.IllegalMove, match=status):
        manager.stop(task.id)
    assert everything_but_beat(store) == before


@pytest.mark.parametrize("state", ["queued", "running", "stopping", "ended", "delayed", "scheduled", "stopped"])
def test_a_deleted_task_leaves_nothing_behind_whatever_it_was(manager: TaskManager, store: Store, state: str) -> None:
    when: dict[str, Any] = {
        "delayed": {"task_type": "delayed", "delay_seconds": 60},
        "scheduled": {"task_type": "scheduled", "cron_expression": "* * * * *"},
    }.get(state, {})
    task = manager.submit(echo(**when, tags=["a", "b"]))
    claim = take(store, kinds=["echo"]) if state in ("running", "stopping", "ended") else None
    if state in ("stopping", "stopped"):
        manager.stop(task.id)
    if state == "ended" and claim is not None:
        end(store, claim)
    manager.delete(task.id)
    assert keys(store) == set()
    with pytest.raises(errors.TaskNotFound):
        manager.delete(task.id)
    if claim is not None:
        assert not end(store, claim)
        assert keys(store) == set()


# --- upcoming, health --------------------------------------------------------------------------------------------


def test_the_next_times_of_a_schedule_begin_with_the_one_it_is_due_at(manager: TaskManager) -> None:
    task = manager.submit(echo(task_type="scheduled", cron_expression="0 * * * *"))
    assert list(manager.upcoming(task, 3)) == [NOW + HOUR, NOW + 2 * HOUR, NOW + 3 * HOUR]
    assert list(manager.upcoming(task, 1)) == [NOW + HOUR]


def test_a_schedule_that_ends_has_fewer_next_times(manager: TaskManager) -> None:
    body = echo(task_type="scheduled", cron_expression="0 * * * *", end_at="2026-01-15T14:30:00Z")
    assert len(manager.upcoming(manager.submit(body), 5)) == 2


def test_what_has_no_schedule_or_is_stopped_has_no_next_times(manager: TaskManager) -> None:
    assert manager.upcoming(manager.submit(echo()), 5) == ()
    assert manager.upcoming(manager.submit(echo(task_type="delayed", delay_seconds=9)), 5) == ()
    task = manager.submit(echo(task_type="scheduled", cron_expression="0 * * * *"))
    assert manager.upcoming(manager.stop(task.id), 5) == ()


def test_health_counts_what_waits_and_what_runs(manager: TaskManager, store: Store) -> None:
    for _ in range(3):
        manager.submit(echo())
    manager.submit(echo(task_type="delayed", delay_seconds=60))
    take(store, kinds=["echo"])
    health = manager.health()
    assert health["queues"] == {"echo": 2, "once": 0, "due": 1, "running": 1, "held": 0}
    assert health["workers"] == []
    assert health["beat"] == {"alive": False, "last_tick_seconds_ago": None}


# --- without Redis, and without a bell ---------------------------------------------------------------------------


class DeafBell(RecordedBell):
    """A bell whose broker is away: as CeleryBell, it says so in the log and raises nothing."""

    def ring(self, run_ids: Any, priority: Priority = Priority.NORMAL) -> None:
        """Nobody hears it."""


def test_a_bell_that_nobody_hears_does_not_refuse_the_task(store: Store, tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    manager = TaskManager(store=store, bell=DeafBell(), kinds={"echo": EchoKind(settings)}, settings=settings)
    task = manager.submit(echo())
    assert take(store, kinds=["echo"]).run_id == f"{task.id}.1"


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TaskManager, RecordedBell]]:
    """A manager whose Redis was there and is gone."""
    folder = tmp_path_factory.mktemp("away")
    with Valkey(folder / "redis") as valkey:
        store = Store(valkey.url, timeout=1)
        manager, bell = manager_of(store, folder)
        manager.submit(echo())
        valkey.kill()
        yield manager, bell
        store.close()


VERBS = {
    "submit": lambda manager: manager.submit(echo()),
    "get": lambda manager: manager.get(identifier.new_id()),
    "list": lambda manager: manager.list(limit=1, filters={}),
    "runs": lambda manager: manager.runs(identifier.new_id(), limit=1),
    "run": lambda manager: manager.run(*(lambda one: (one, f"{one}.1"))(identifier.new_id())),
    "stop": lambda manager: manager.stop(identifier.new_id()),
    "delete": lambda manager: manager.delete(identifier.new_id()),
    "health": lambda manager: manager.health(),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_that_redis_is_away(away: tuple[TaskManager, RecordedBell], verb: str) -> None:
    manager, bell = away
    bell.rung.clear()
    with pytest.raises(errors.StoreUnavailable):
        VERBS[verb](manager)
    assert bell.rung == []


def test_a_bad_task_is_refused_without_asking_redis(away: tuple[TaskManager, RecordedBell]) -> None:
    with pytest.raises(errors.InvalidTask):
        away[0].submit({})
    with pytest.raises(errors.TaskNotFound):
        away[0].get("no id")
