"""What is due: delayed runs, schedules that fire once however many beats see them, overlaps, misfires and pruning."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tasks.model import ENDED, Status, Task
from tasks.store import DueSchedule, Store
from tests.make import NOW, end, end_earlier, ended_tasks, fire, fire_as_seen, keys, submit, take

S = Status


def scheduled(store: Store, **over: Any) -> Task:
    return submit(store, task_type="scheduled", next_run_at=over.pop("due", 1000), **over)


def rows(store: Store, task: Task) -> list[tuple[int, Status, str | None]]:
    """Due time, status and reason of each run, oldest first."""
    return [(run.due_at, run.status, run.reason) for run in reversed(store.runs(task.id, limit=500)[0])]


# --- delayed runs ------------------------------------------------------------------------------------------------


def test_a_delayed_run_is_queued_once_it_is_due(store: Store) -> None:
    task = submit(store, task_type="delayed", delay=60)
    early = store.due(10)
    assert early.queued == []
    assert early.next_due == store.get(task.id).next_run_at
    time.sleep((early.next_due or 0) / 1000 - early.now / 1000 + 0.002)
    assert store.due(10).queued == [f"{task.id}.1"]
    found = store.get(task.id)
    assert found.last_run is not None
    assert (found.status, found.next_run_at, found.last_run.due_at) == (S.QUEUED, None, early.next_due)
    assert store.due(10).queued == []
    assert take(store).run_id == f"{task.id}.1"


def test_only_so_many_are_taken_at_once_and_the_rest_is_still_due(store: Store) -> None:
    made = {f"{submit(store, task_type='delayed', delay=0).id}.1" for _ in range(5)}
    first, second, third = (store.due(2) for _ in range(3))
    assert [len(due.queued) for due in (first, second, third)] == [2, 2, 1]
    assert {run for due in (first, second, third) for run in due.queued} == made
    assert first.next_due is not None
    assert first.next_due <= first.now
    assert third.next_due is None


def test_an_earlier_due_time_wakes_a_beat_that_sleeps(store: Store) -> None:
    submit(store, task_type="delayed", delay=60_000)
    store.await_wake(0.01)
    woken: list[float] = []

    def sleep() -> None:
        store.await_wake(10)
        woken.append(time.monotonic())

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    time.sleep(0.1)
    submit(store, task_type="delayed", delay=90_000)
    sleeper.join(0.3)
    assert sleeper.is_alive()
    submit(store, task_type="delayed", delay=30_000)
    sleeper.join(8)
    assert woken


def test_wakes_do_not_pile_up(store: Store) -> None:
    for delay in range(100_000, 0, -5000):
        submit(store, task_type="delayed", delay=delay)
    assert store._redis.command("LLEN", "{tms}:wake") == 1


# --- firing ------------------------------------------------------------------------------------------------------


def test_a_due_schedule_is_named_until_it_is_fired(store: Store) -> None:
    task = scheduled(store, due=1000)
    scheduled(store, due=NOW * 2)
    for _ in range(2):
        (seen,) = store.due(10).schedules
        assert (seen.task_id, seen.due_at, seen.status) == (task.id, 1000, S.SCHEDULED)
        assert seen.timing["cron_expression"] == "* * * * *"


def test_firing_makes_a_run_and_advances_the_schedule(store: Store) -> None:
    task = scheduled(store)
    assert fire(store, task, next_due=NOW * 2) == [f"{task.id}.1"]
    found = store.get(task.id)
    assert found.last_run is not None
    assert (found.status, found.next_run_at, found.run_count) == (S.SCHEDULED, NOW * 2, 1)
    assert (found.last_run.due_at, found.last_run.status) == (1000, S.QUEUED)
    assert store.due(10).schedules == []
    assert store.due(10).next_due == NOW * 2


def test_a_beat_that_comes_second_fires_nothing(store: Store) -> None:
    task = scheduled(store)
    (seen,) = store.due(10).schedules
    assert len(fire_as_seen(store, seen, next_due=2000)) == 1
    assert fire_as_seen(store, seen, next_due=2000) == []
    assert store.get(task.id).run_count == 1


def test_two_beats_at_once_fire_one_run(store: Store) -> None:
    made = [scheduled(store, due=number) for number in range(1, 41)]
    fired: list[str] = []
    barrier = threading.Barrier(2)

    def beat() -> None:
        barrier.wait()
        for schedule in store.due(500).schedules:
            fired.extend(fire_as_seen(store, schedule, next_due=NOW * 2))

    beats = [threading.Thread(target=beat) for _ in range(2)]
    for each in beats:
        each.start()
    for each in beats:
        each.join()
    assert sorted(fired) == sorted(f"{task.id}.1" for task in made)


@pytest.mark.parametrize("gone", ["stopped", "deleted"])
def test_a_schedule_stopped_or_deleted_meanwhile_does_not_fire(store: Store, gone: str) -> None:
    task = scheduled(store)
    (seen,) = store.due(10).schedules
    if gone == "stopped":
        store.stop(task.id)
    else:
        store.delete(task.id)
    assert fire_as_seen(store, seen, next_due=5) == []
    assert store.due(10).schedules == []
    assert (keys(store) == set()) is (gone == "deleted")


def test_firing_for_no_task_makes_none(store: Store) -> None:
    seen = DueSchedule(task_id="nothing", due_at=1, status="scheduled", text="{}")
    assert fire_as_seen(store, seen, next_due=5) == []
    assert keys(store) == set()


# --- overlap -----------------------------------------------------------------------------------------------------


def test_overlap_skip_records_the_occurrence_as_skipped(store: Store) -> None:
    task = scheduled(store)
    (run_id,) = fire(store, task, overlap="skip")
    assert fire(store, task, overlap="skip") == []
    claim = take(store, run_id=run_id)
    assert fire(store, task, overlap="skip") == []
    assert end(store, claim)
    assert fire(store, task, overlap="skip") == [f"{task.id}.4"]
    told = [(status, reason) for _, status, reason in rows(store, task)]
    assert told == [(S.SUCCEEDED, None), (S.SKIPPED, "overlap"), (S.SKIPPED, "overlap"), (S.QUEUED, None)]
    skipped = store.runs(task.id, limit=10, status="skipped")[0][0]
    assert (skipped.started_at, skipped.attempt, skipped.finished_at is not None) == (None, 0, True)


def test_overlap_skip_counts_a_retrying_run_as_busy(store: Store) -> None:
    task = scheduled(store)
    (run_id,) = fire(store, task, overlap="skip")
    end(store, take(store, run_id=run_id), status=S.FAILED, retry_after=60_000)
    assert fire(store, task, overlap="skip") == []


def test_overlap_allow_runs_them_at_the_same_time(store: Store) -> None:
    task = scheduled(store)
    runs = [*fire(store, task), *fire(store, task)]
    assert [take(store, run_id=run).run_id for run in runs] == runs


def test_overlap_queue_runs_them_one_after_the_other(store: Store) -> None:
    task = scheduled(store)
    queued = [fire(store, task, overlap="queue") for _ in range(3)]
    assert queued == [[f"{task.id}.1"], [], []]
    for number in (1, 2, 3):
        assert [status for _, status, _ in rows(store, task)].count(S.QUEUED) == 1
        claim = take(store)
        assert claim.run_id == f"{task.id}.{number}"
        assert store.claim("w2", ["code"]) is None
        how = {1: S.SUCCEEDED, 2: S.FAILED, 3: S.TIMED_OUT}[number]
        assert end(store, claim, status=how)
    assert store.claim("w1", ["code"]) is None
    assert fire(store, task, overlap="queue") == [f"{task.id}.4"]


def test_overlap_queue_waits_for_the_retries_of_the_run_before(store: Store) -> None:
    task = scheduled(store)
    for _ in range(2):
        fire(store, task, overlap="queue")
    end(store, take(store), status=S.FAILED, retry_after=0)
    assert store.claim("w1", ["code"]) is None
    assert store.due(10).queued == [f"{task.id}.1"]
    assert end(store, take(store))
    assert take(store).run_id == f"{task.id}.2"


def test_overlap_queue_has_an_end(store: Store) -> None:
    task = scheduled(store, history=500)
    fire(store, task, overlap="queue", fire=tuple(range(1, 121)))
    told = [(status, reason) for _, status, reason in rows(store, task)]
    assert told == [(S.QUEUED, None)] + [(S.SCHEDULED, None)] * 100 + [(S.SKIPPED, "overlap")] * 19


# --- max_runs, misfire, completion -------------------------------------------------------------------------------


def test_a_schedule_is_completed_after_max_runs(store: Store) -> None:
    task = scheduled(store)
    fire(store, task, max_runs=2)
    assert store.get(task.id).status is S.SCHEDULED
    fire(store, task, max_runs=2)
    found = store.get(task.id)
    assert (found.status, found.reason, found.next_run_at, found.run_count) == (S.COMPLETED, "max_runs", None, 2)
    assert store.due(10).schedules == []


def test_max_runs_holds_within_one_firing_and_skipped_ones_do_not_count(store: Store) -> None:
    task = scheduled(store)
    fire(store, task, max_runs=3, fire=(1,), skip=(0,), overlap="skip")
    fire(store, task, max_runs=3, fire=(2,), overlap="skip")
    assert store.get(task.id).status is S.SCHEDULED
    fire(store, task, max_runs=3, fire=(3, 4, 5, 6))
    assert [due for due, status, _ in rows(store, task) if status is S.QUEUED] == [1, 3, 4]
    assert store.get(task.id).status is S.COMPLETED


def test_a_schedule_without_a_next_time_is_completed(store: Store) -> None:
    task = scheduled(store)
    (run_id,) = fire(store, task, next_due=None)
    found = store.get(task.id)
    assert (found.status, found.reason, found.next_run_at) == (S.COMPLETED, "schedule_ended", None)
    assert found.status in ENDED
    assert end(store, take(store, run_id=run_id))
    assert store.get(task.id).status is S.COMPLETED


def test_missed_occurrences_are_rows_with_their_reason(store: Store) -> None:
    task = scheduled(store)
    fire(store, task, skip=(100, 200), fire=(300,), missed=7)
    assert rows(store, task) == [(100, S.SKIPPED, "misfire"), (200, S.SKIPPED, "misfire"), (300, S.QUEUED, None)]


# --- history -----------------------------------------------------------------------------------------------------


def test_only_the_newest_runs_are_kept(store: Store) -> None:
    task = scheduled(store, history=3)
    for _ in range(6):
        (run_id,) = fire(store, task)
        assert end(store, take(store, run_id=run_id), outcome={"result": run_id})
    runs, _, total = store.runs(task.id, limit=50)
    assert ([run.number for run in runs], total) == ([6, 5, 4], 3)
    assert len([key for key in keys(store) if ":run:" in key]) == 6
    assert store.get(task.id).run_count == 6


def test_an_unfinished_run_is_kept_however_many_follow(store: Store) -> None:
    task = scheduled(store, history=2)
    (run_id,) = fire(store, task)
    claim = take(store, run_id=run_id)
    later = [number for _ in range(4) for number in fire(store, task)]
    assert [run.number for run in store.runs(task.id, limit=50)[0]] == [5, 4, 3, 2, 1]
    assert end(store, claim)
    for run_id in later:
        end(store, take(store, run_id=run_id))
    assert [run.number for run in store.runs(task.id, limit=50)[0]] == [5, 4]
    store.delete(task.id)
    assert keys(store) == set()


def test_occurrences_that_did_not_run_do_not_crowd_out_runs(store: Store) -> None:
    task = scheduled(store, history=2)
    for _ in range(3):
        (run_id,) = fire(store, task, skip=(1, 2, 3))
        assert end(store, take(store, run_id=run_id))
    fire(store, task, fire=(), skip=tuple(range(10, 40)))
    found, _, total = store.runs(task.id, limit=50)
    assert ([run.number for run in found], total) == ([42, 41, 12, 8], 4)
    assert [run.status for run in found] == [S.SKIPPED] * 2 + [S.SUCCEEDED] * 2
    assert [run.number for run in store.runs(task.id, limit=50, status="succeeded")[0]] == [12, 8]
    store.delete(task.id)
    assert keys(store) == set()


def test_the_history_is_paged_over_both_runs_and_skips(store: Store) -> None:
    task = scheduled(store, history=150)
    for first in range(150):
        fire(store, task, skip=(first,))
    whole = [run.number for run in store.runs(task.id, limit=500)[0]]
    assert whole == list(range(300, 0, -1))
    paged, below = [], None
    while True:
        page, below, total = store.runs(task.id, limit=7, below=below)
        assert total == 300
        paged += [run.number for run in page]
        if below is None:
            break
    assert paged == whole
    skipped, below, _ = store.runs(task.id, limit=120, status="skipped")
    more, end_of_all, _ = store.runs(task.id, limit=120, status="skipped", below=below)
    assert ([run.number for run in (*skipped, *more)], end_of_all) == (list(range(299, 0, -2)), None)


# --- pruning -----------------------------------------------------------------------------------------------------


def ended(store: Store) -> set[str]:
    return set(ended_tasks(store))


def test_only_tasks_that_ended_long_enough_ago_are_removed(store: Store) -> None:
    old, young, running, waiting = (submit(store) for _ in range(4))
    for task in (old, young, running):
        claim = take(store, run_id=f"{task.id}.1")
        if task is not running:
            end(store, claim)
    later = submit(store, task_type="delayed")
    again = scheduled(store)
    (run_id,) = fire(store, again)
    end(store, take(store, run_id=run_id))
    assert ended(store) == {old.id, young.id}
    end_earlier(store, old.id, 3_600_000)
    assert store.prune(3000, 100) == 1
    left = {task.id for task in store.list(limit=50)[0]}
    assert left == {young.id, running.id, waiting.id, later.id, again.id}
    assert not [key for key in keys(store) if old.id in key]
    assert ended(store) == {young.id}


def test_only_so_many_are_removed_at_once(store: Store) -> None:
    for _ in range(5):
        submit(store)
        end(store, take(store))
    time.sleep(0.005)
    assert [store.prune(0, 2) for _ in range(4)] == [2, 2, 1, 0]
    assert keys(store) == set()


def test_a_schedule_counts_as_ended_once_its_last_run_has(store: Store) -> None:
    task = scheduled(store)
    (run_id,) = fire(store, task, next_due=None)
    claim = take(store, run_id=run_id)
    assert ended(store) == set()
    store.stop(task.id)
    assert ended(store) == set()
    assert end(store, claim)
    assert ended(store) == {task.id}
    idle = scheduled(store)
    fire(store, idle, fire=(), next_due=None)
    stopped = scheduled(store)
    store.stop(stopped.id)
    assert ended(store) == {task.id, idle.id, stopped.id}
    time.sleep(0.005)
    assert store.prune(0, 100) == 3
    assert keys(store) == set()


@pytest.mark.parametrize("how", ["stopped", "expired", "lost"])
def test_whatever_way_it_ended_it_is_removed_in_time(store: Store, how: str) -> None:
    task = submit(store, losses=0, expires_in=0.001 if how == "expired" else None)
    if how == "stopped":
        store.stop(task.id)
    elif how == "expired":
        store._redis.command("HSET", f"{{tms}}:run:{task.id}.1", "due", 1)
        assert store.claim("w1", ["code"]) is None
    else:
        take(store)
        store._redis.command("ZADD", "{tms}:leases", 1, f"{task.id}.1")
        store.reap(10)
    assert store.get(task.id).status == how
    time.sleep(0.005)
    assert store.prune(0, 100) == 1
    assert keys(store) == set()
