"""Beat's scheduler, tick by tick against a real store: fire, reap, prune, and Redis that goes away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import celery_app
from tasks import moment, scheduler
from tasks.model import Run, Status, Task
from tasks.scheduler import DueScheduler
from tasks.store import Store
from tests.make import (
    RecordedBell,
    end,
    end_earlier,
    fire,
    make_settings,
    make_timing,
    put_about,
    run_out,
    submit,
    take,
)
from tests.valkey import Valkey

S = Status
MINUTE = 60_000


class Beat:
    """A scheduler whose bell is recorded."""

    def __init__(self, store: Store, folder: Path, **over: Any) -> None:
        app = celery_app.build(make_settings(folder, **over))
        self.bell = RecordedBell()
        app.store, app.bell = store, self.bell
        self.scheduler = DueScheduler(app)
        self.store = store

    def tick(self) -> float:
        return self.scheduler.tick()


@pytest.fixture
def beat(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Beat:
    """A beat that does not rest between ticks."""
    monkeypatch.setattr(scheduler, "LONGEST_SLEEP", 0.0)
    return Beat(store, tmp_path)


def minute() -> int:
    """The minute that has begun; waits for the next one where this one is about to end under the test."""
    left = MINUTE - moment.now() % MINUTE
    if left < 3000:
        time.sleep(left / 1000 + 0.01)
    return moment.now() // MINUTE * MINUTE


def every_minute(store: Store, *, due: int, **timing: Any) -> Task:
    """A task that is due every minute, first at `due`."""
    return submit(store, task_type="scheduled", timing=make_timing(**timing), next_run_at=due)


def runs(store: Store, task: Task) -> list[Run]:
    return list(store.runs(task.id, limit=200)[0])


# --- firing ------------------------------------------------------------------------------------------------------


def test_nothing_due_is_nothing_done_but_beat_is_heard_of(beat: Beat, store: Store) -> None:
    assert beat.tick() == 0
    assert beat.bell.rung == []
    assert store.health([])["beat"]["alive"]


def test_a_delayed_run_is_queued_and_rung_for_when_it_is_due_and_once(beat: Beat, store: Store) -> None:
    later = submit(store, task_type="delayed", delay=60_000)
    task = submit(store, task_type="delayed", delay=0)
    beat.tick()
    beat.tick()
    assert beat.bell.runs == [f"{task.id}.1"]
    assert (store.get(task.id).status, store.get(later.id).status) == (S.QUEUED, S.SCHEDULED)


def test_a_schedule_fires_one_run_and_is_due_at_its_next_time(beat: Beat, store: Store) -> None:
    due = minute()
    task = every_minute(store, due=due)
    beat.tick()
    (run,) = runs(store, task)
    assert (run.due_at, run.status, beat.bell.runs) == (due, S.QUEUED, [run.id])
    assert store.get(task.id).next_run_at == due + MINUTE
    beat.tick()
    assert len(runs(store, task)) == 1


def test_two_beats_fire_each_occurrence_once(beat: Beat, store: Store, tmp_path: Path) -> None:
    other = Beat(store, tmp_path)
    tasks = [every_minute(store, due=minute()) for _ in range(20)]
    seen, seen_by_other = store.due(100), store.due(100)
    beat.scheduler._fire(seen)
    other.scheduler._fire(seen_by_other)
    assert sorted(beat.bell.runs + other.bell.runs) == sorted(f"{task.id}.1" for task in tasks)


def test_a_second_is_long_enough_to_be_late_and_still_on_time(beat: Beat, store: Store) -> None:
    task = every_minute(store, due=minute() - MINUTE + 1000, cron_expression="1 * * * * *", misfire="skip")
    beat.tick()
    assert [run.status for run in runs(store, task)] != []


@pytest.mark.parametrize(("misfire", "fired"), [("once", 1), ("skip", 0), ("all", 5)])
def test_what_was_missed_becomes_what_the_task_says(beat: Beat, store: Store, misfire: str, fired: int) -> None:
    due = minute() - 60 * MINUTE
    end_at = moment.show(due + 20 * MINUTE)
    how = {"misfire": misfire, "misfire_limit": 5, "overlap": "allow", "end_at": end_at}
    task = every_minute(store, due=due, **how)
    beat.tick()
    found = runs(store, task)
    skipped = [run for run in found if run.status is S.SKIPPED]
    assert len([run for run in found if run.status is S.QUEUED]) == len(beat.bell.runs) == fired
    assert skipped
    assert {run.reason for run in skipped} == {"misfire"}
    assert store.get(task.id).next_run_at is None


def test_a_schedule_with_a_last_run_is_completed_after_it(beat: Beat, store: Store) -> None:
    task = every_minute(store, due=minute(), max_runs=1)
    beat.tick()
    end(store, take(store))
    found = store.get(task.id)
    assert (found.status, found.reason, found.next_run_at) == (S.COMPLETED, "max_runs", None)


def test_a_schedule_past_its_end_is_completed(beat: Beat, store: Store) -> None:
    due = minute()
    task = every_minute(store, due=due, end_at=moment.show(due + 1))
    beat.tick()
    assert (len(runs(store, task)), store.get(task.id).next_run_at) == (1, None)


def test_a_schedule_that_cannot_be_read_does_not_hold_up_the_others(
    beat: Beat, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    broken = every_minute(store, due=minute() - 1000)
    put_about(store, broken.id, {"name": "x", "timeout": 1, "timing": make_timing(cron_expression="nonsense")})
    good = every_minute(store, due=minute())
    beat.tick()
    assert beat.bell.runs == [f"{good.id}.1"]
    assert f"task {broken.id}: its schedule cannot be fired" in caplog.text
    beat.tick()
    assert caplog.text.count("cannot be fired") == 1
    postponed = store.get(broken.id)
    assert postponed.status is S.SCHEDULED
    assert postponed.next_run_at is not None
    assert postponed.next_run_at > moment.now()


def test_more_than_one_batch_is_fired_without_a_rest_between(
    beat: Beat, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "BATCH", 5)
    monkeypatch.setattr(scheduler, "LONGEST_SLEEP", 60.0)
    tasks = [submit(store, task_type="delayed", delay=0) for _ in range(10)]
    beat.tick()
    beat.tick()
    assert sorted(beat.bell.runs) == sorted(f"{task.id}.1" for task in tasks)


# --- reaping and pruning -----------------------------------------------------------------------------------------


def test_a_run_of_a_dead_worker_is_rung_for_again(beat: Beat, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    task = submit(store)
    take(store)
    run_out(store)
    beat.tick()
    assert beat.bell.runs == [f"{task.id}.1"]
    assert "taken from a worker that is gone: now queued" in caplog.text


def test_a_run_that_is_lost_is_not_rung_for(beat: Beat, store: Store) -> None:
    task = submit(store, losses=0)
    take(store)
    run_out(store)
    beat.tick()
    assert (beat.bell.runs, store.get(task.id).status) == ([], S.LOST)


def test_leases_are_not_looked_at_with_every_tick(beat: Beat, store: Store) -> None:
    beat.tick()
    submit(store)
    take(store)
    run_out(store)
    beat.tick()
    assert beat.bell.runs == []


def test_what_ended_long_ago_is_removed_and_what_did_not_is_kept(store: Store, tmp_path: Path, beat: Beat) -> None:
    old, new, waiting = submit(store), submit(store), submit(store)
    for task in (old, new):
        end(store, take(store, run_id=f"{task.id}.1"))
    end_earlier(store, old.id, 604_801_000)
    beat.tick()
    assert [task.id for task in store.list(limit=9)[0]] == [waiting.id, new.id]


def test_pruning_goes_on_with_the_next_tick_while_there_is_more(
    beat: Beat, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "BATCH", 2)
    for _ in range(5):
        task = submit(store)
        end(store, take(store, run_id=f"{task.id}.1"))
        end_earlier(store, task.id, 604_801_000)
    for _ in range(3):
        beat.tick()
    assert store.list(limit=9)[0] == []


# --- rest --------------------------------------------------------------------------------------------------------


def test_beat_rests_until_the_next_is_due_and_never_fires_early(store: Store, tmp_path: Path) -> None:
    beat = Beat(store, tmp_path)
    task = submit(store, task_type="delayed", delay=400)
    due = store.get(task.id).next_run_at
    assert due is not None
    while not beat.bell.rung:
        beat.tick()
    queued = store.get(task.id).last_run
    assert queued is not None
    assert queued.queued_at is not None
    assert queued.queued_at >= due


def test_beat_is_woken_by_what_is_due_sooner(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "LONGEST_SLEEP", 4.0)
    beat = Beat(store, tmp_path)
    resting = threading.Thread(target=beat.tick, daemon=True)
    resting.start()
    time.sleep(0.2)
    submit(store, task_type="delayed", delay=0)
    resting.join(3)
    assert not resting.is_alive()


def test_beat_has_nothing_to_write_down(beat: Beat) -> None:
    beat.scheduler.setup_schedule()
    beat.scheduler.close()


# --- without Redis -----------------------------------------------------------------------------------------------


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    with Valkey(tmp_path / "redis") as valkey:
        yield valkey


def test_without_redis_beat_says_so_once_waits_and_goes_on(
    valkey: Valkey, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own_store = Store(valkey.url, timeout=2)
    beat = Beat(own_store, tmp_path)
    task = submit(own_store, task_type="delayed", delay=0)
    valkey.kill()
    assert beat.tick() > 0
    assert beat.tick() > 0
    assert caplog.text.count("beat waits for Redis") == 1
    valkey.start()
    assert beat.tick() == 0
    assert "beat has Redis again" in caplog.text
    assert beat.bell.runs == [f"{task.id}.1"]
    own_store.close()


def test_losing_redis_in_the_middle_of_a_burst_loses_no_run(valkey: Valkey, tmp_path: Path) -> None:
    own_store = Store(valkey.url, timeout=2)
    beat = Beat(own_store, tmp_path)
    tasks = [every_minute(own_store, due=minute()) for _ in range(10)]
    first = fire(own_store, tasks[0], next_due=moment.now() + MINUTE)
    valkey.kill()
    assert beat.tick() > 0
    valkey.start()
    beat.tick()
    assert sorted([*first, *beat.bell.runs]) == sorted(f"{task.id}.1" for task in tasks)
    own_store.close()
