"""Submit, claim, finish, stop and delete: each one script, against a real Redis."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tasks import identifier
from tasks.errors import TaskNotFound, TooMuch
from tasks.model import Retry, Status, Task
from tasks.store import Batch, Claim, Entry, Quotas, Store
from tasks.store.store import RING_AT_MOST
from tests.make import NOW, end, fire, keys, make_task, make_timing, submit, take

S = Status
AWAY = "00000000-0000-7000-8000-000000000000"


def status(store: Store, task: Task) -> tuple[Status, Status]:
    """Of the task and of its last run."""
    found = store.get(task.id)
    assert found.last_run is not None
    return found.status, found.last_run.status


def retrying(store: Store, *, after: int = 60_000, **over: Any) -> Task:
    task = submit(store, **over)
    assert end(store, take(store), status=S.FAILED, reason="code_raised", retry_after=after)
    return task


# --- submit ------------------------------------------------------------------------------------------------------


def test_a_task_comes_back_as_it_was_stored(store: Store) -> None:
    task = make_task(
        name="每日报表 ☕ “quoted” \\ / \t",
        spec={"function_code": "def f(): ...\n", "args": [1.5, 10**30, None, True, {"深": []}], "kwargs": {}},
        retry=Retry(max=3, backoff=0.5, factor=1.5, max_delay=60, jitter=0, on=("5xx", "timed_out")),
        expires_in=90.5,
        tags=("日报", "a b", "x:y"),
        priority="high",
        timeout=12.5,
    )
    store.submit(task, delay=None, losses=2, history=100)
    found = store.get(task.id)
    run = found.last_run
    assert run is not None
    assert found.spec == task.spec
    names = ("id", "name", "retry", "expires_in", "tags", "priority", "timeout", "kind", "task_type", "created_at")
    assert {name: getattr(found, name) for name in names} == {name: getattr(task, name) for name in names}
    assert (found.status, found.run_count, found.next_run_at) == (S.QUEUED, 1, None)
    assert (run.id, run.number, run.status, run.attempt, run.attempts) == (f"{task.id}.1", 1, S.QUEUED, 0, ())
    assert run.due_at == run.queued_at


def test_an_immediate_task_is_queued_and_rung_for(store: Store) -> None:
    _, rings = store.submit(make_task(), delay=None, losses=2, history=100)
    assert rings


def test_with_very_many_waiting_no_further_bell_is_needed(store: Store) -> None:
    rings = [store.submit(make_task(), delay=None, losses=2, history=100)[1] for _ in range(20)]
    assert rings == [True] * RING_AT_MOST + [False] * (20 - RING_AT_MOST)


def test_a_delayed_task_waits_by_the_clock_of_redis(store: Store) -> None:
    task = make_task(task_type="delayed")
    due, rings = store.submit(task, delay=5000, losses=2, history=100)
    seconds, micros = store._redis.command("TIME")
    assert 0 <= due - 5000 <= int(seconds) * 1000 + int(micros) // 1000
    assert due > identifier.moment_of(task.id)
    assert not rings
    assert status(store, task) == (S.SCHEDULED, S.SCHEDULED)
    assert store.get(task.id).next_run_at == due
    assert store.claim("w1", ["code"], f"{task.id}.1") is None


def test_a_scheduled_task_has_no_run_before_it_fires(store: Store) -> None:
    task = submit(store, task_type="scheduled", next_run_at=NOW * 2)
    found = store.get(task.id)
    assert (found.status, found.run_count, found.last_run, found.next_run_at) == (S.SCHEDULED, 0, None, NOW * 2)


@pytest.mark.parametrize("task_type", ["immediate", "delayed", "scheduled"])
def test_submitting_again_changes_nothing_and_answers_the_same(store: Store, task_type: str) -> None:
    # Made on a machine whose clock is wrong, so that its moments cannot be taken for those of Redis.
    task = make_task(task_type=task_type, tags=("a",), expires_in=5, created_at=NOW, next_run_at=None)
    delay = 60_000 if task_type == "delayed" else None
    first = store.submit(task, delay=delay, losses=2, history=100)
    before = (store.get(task.id), keys(store))
    assert store.submit(task, delay=delay, losses=2, history=100) == first
    assert (store.get(task.id), keys(store)) == before


def test_submitting_again_after_it_ran_does_not_run_it_again(store: Store) -> None:
    task = submit(store)
    assert end(store, take(store))
    _, rings = store.submit(task, delay=None, losses=2, history=100)
    assert not rings
    assert store.claim("w1", ["code"]) is None
    assert store.get(task.id).status is S.SUCCEEDED


def test_an_unknown_task_is_not_found(store: Store) -> None:
    for verb in (store.get, store.stop, store.delete, lambda task_id: store.runs(task_id, limit=1)):
        with pytest.raises(TaskNotFound, match=AWAY):
            verb(AWAY)


# --- claim -------------------------------------------------------------------------------------------------------


def test_a_claim_has_all_that_is_needed_to_do_it(store: Store) -> None:
    task = submit(store, retry=Retry(max=1, on=("5xx",)), timeout=7)
    claim = take(store, run_id=f"{task.id}.1")
    assert (claim.run_id, claim.kind, claim.attempt, claim.spec) == (f"{task.id}.1", "code", 1, task.spec)
    assert claim.about["timeout"] == 7
    assert claim.about["retry"]["on"] == ["5xx"]
    assert status(store, task) == (S.RUNNING, S.RUNNING)
    run = store.get(task.id).last_run
    assert run is not None
    assert (run.worker, run.started_at, run.attempt) == ("w1", claim.started_at, 1)


def test_a_bell_that_rings_twice_is_answered_once(store: Store) -> None:
    task = submit(store)
    take(store, run_id=f"{task.id}.1")
    assert store.claim("w2", ["code"], f"{task.id}.1") is None
    assert store.claim("w1", ["code"], f"{task.id}.1") is None


def test_of_many_threads_that_want_one_run_exactly_one_gets_it(store: Store) -> None:
    for _ in range(10):
        task = submit(store)
        claims: list[Any] = []
        barrier = threading.Barrier(12)

        def want(worker: str, run_id: str = f"{task.id}.1", start: Any = barrier, found: Any = claims) -> None:
            start.wait()
            found.append(store.claim(worker, ["code"], run_id))

        threads = [threading.Thread(target=want, args=(f"w{number}",)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        won = [claim for claim in claims if isinstance(claim, Claim)]
        assert len(won) == 1
        assert len(claims) == 12
        run = store.get(task.id).last_run
        assert run is not None
        assert run.attempt == 1


@pytest.mark.parametrize("bell", ["", "nonsense", "nonsense.1", f"{AWAY}.1", AWAY, "." * 80, "a.b.c.9999"])
def test_a_bell_for_no_run_is_dropped(store: Store, bell: str) -> None:
    assert store.claim("w1", ["code"], bell) is None
    assert keys(store) == set()


def test_without_room_for_its_kind_a_run_stays_queued(store: Store) -> None:
    task = submit(store, kind="code")
    assert store.claim("w1", ["http"], f"{task.id}.1") == "code"
    assert store.claim("w1", [], f"{task.id}.1") == "code"
    assert status(store, task) == (S.QUEUED, S.QUEUED)
    assert take(store, run_id=f"{task.id}.1").attempt == 1


def test_high_priority_goes_first_then_the_oldest(store: Store) -> None:
    normal = [submit(store) for _ in range(2)]
    high = [submit(store, priority="high") for _ in range(2)]
    other = submit(store, kind="http")
    order = [take(store, kinds=["code"]).run_id for _ in range(4)]
    assert order[:2] == [f"{task.id}.1" for task in high]
    assert order[2:] == [f"{task.id}.1" for task in normal]
    assert store.claim("w1", ["code"]) is None
    assert take(store, kinds=["http"]).run_id == f"{other.id}.1"


def test_a_run_that_waited_too_long_expires_unstarted(store: Store) -> None:
    late = submit(store, expires_in=0.001)
    store._redis.command("HSET", f"{{tms}}:run:{late.id}.1", "due", 1)
    fine = submit(store, expires_in=3600)
    assert take(store).run_id == f"{fine.id}.1"
    found = store.get(late.id)
    assert found.last_run is not None
    assert (found.status, found.reason, found.last_run.reason) == (S.EXPIRED, "expired", "expired")
    assert (found.last_run.attempt, found.last_run.started_at) == (0, None)
    assert found.last_run.finished_at is not None


def test_a_bell_for_an_expired_run_ends_it(store: Store) -> None:
    late = submit(store, expires_in=0.001)
    store._redis.command("HSET", f"{{tms}}:run:{late.id}.1", "due", 1)
    assert store.claim("w1", ["code"], f"{late.id}.1") is None
    assert status(store, late) == (S.EXPIRED, S.EXPIRED)


# --- finish ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "reason"), [(S.SUCCEEDED, ""), (S.FAILED, "code_raised"), (S.TIMED_OUT, "timed_out"), (S.LOST, "worker")]
)
def test_an_outcome_is_recorded_with_all_that_came_of_it(store: Store, how: Status, reason: str) -> None:
    task = submit(store)
    outcome = {
        "result": {"好": [1]},
        "error": {"code": "x", "message": "y", "traceback": None, "line": 3},
        "stdout": "出",
        "stderr": "e",
        "output_truncated": True,
        "usage": {"wall": 0.5},
    }
    assert end(store, take(store), status=how, reason=reason, outcome=outcome)
    run = store.get(task.id).last_run
    assert run is not None
    assert status(store, task) == (how, how)
    assert (run.result, run.error, run.stdout, run.stderr) == ({"好": [1]}, outcome["error"], "出", "e")
    assert (run.output_truncated, run.usage, run.reason) == (True, {"wall": 0.5}, reason or None)
    assert run.started_at is not None
    assert run.finished_at is not None
    assert run.finished_at >= run.started_at
    assert store.get(task.id).reason == (reason or None)


def test_the_next_run_of_the_kind_comes_with_the_answer(store: Store) -> None:
    submit(store)
    second, other = submit(store), submit(store, kind="http")
    recorded, following = store.finish(
        take(store), "w1", status=S.SUCCEEDED, reason="", outcome={"result": 1}, next_kind="code"
    )
    assert recorded
    assert following is not None
    assert (following.run_id, following.attempt) == (f"{second.id}.1", 1)
    assert status(store, second)[1] is S.RUNNING
    recorded, following = store.finish(
        following, "w1", status=S.SUCCEEDED, reason="", outcome={"result": 1}, next_kind="code"
    )
    assert (recorded, following) == (True, None)
    assert status(store, other)[1] is S.QUEUED


def test_another_worker_cannot_finish_a_run(store: Store) -> None:
    task = submit(store)
    claim = take(store)
    assert not end(store, claim, worker="w2")
    assert status(store, task) == (S.RUNNING, S.RUNNING)
    assert end(store, claim)


def test_a_run_is_finished_once(store: Store) -> None:
    task = submit(store)
    claim = take(store)
    assert end(store, claim, outcome={"result": "first"})
    assert not end(store, claim, status=S.FAILED, reason="late", outcome={"result": "second"})
    run = store.get(task.id).last_run
    assert run is not None
    assert (run.status, run.result, run.reason) == (S.SUCCEEDED, "first", None)


def test_an_earlier_attempt_cannot_finish_a_later_one(store: Store) -> None:
    task = submit(store)
    first = take(store)
    assert end(store, first, status=S.FAILED, reason="code_raised", retry_after=0)
    store.due(10)
    second = take(store)
    assert second.attempt == 2
    assert not end(store, first)
    assert status(store, task)[1] is S.RUNNING
    assert end(store, second)


def test_the_outcome_of_a_deleted_task_is_dropped_without_a_trace(store: Store) -> None:
    task = submit(store)
    claim = take(store)
    store.delete(task.id)
    assert not end(store, claim)
    assert store.give_back(claim, "w1", {"result": None}) is None
    assert keys(store) == set()


def test_a_dropped_outcome_still_lets_the_next_run_in(store: Store) -> None:
    task, following = submit(store), submit(store)
    claim = take(store)
    store.delete(task.id)
    recorded, got = store.finish(claim, "w1", status=S.SUCCEEDED, reason="", outcome={}, next_kind="code")
    assert not recorded
    assert got is not None
    assert got.run_id == f"{following.id}.1"


# --- retry -------------------------------------------------------------------------------------------------------


def test_a_failed_attempt_is_kept_and_the_run_waits_for_the_next(store: Store) -> None:
    task = submit(store, retry=Retry(max=2))
    claim = take(store)
    outcome = {"result": None, "error": {"code": "code_raised"}, "stdout": "one"}
    assert end(store, claim, status=S.FAILED, reason="code_raised", outcome=outcome, retry_after=60_000)
    found = store.get(task.id)
    run = found.last_run
    assert run is not None
    assert status(store, task) == (S.RETRYING, S.RETRYING)
    assert found.next_run_at is not None
    assert found.next_run_at - claim.started_at >= 60_000
    assert (run.finished_at, run.reason) == (None, None)
    (attempt,) = run.attempts
    assert (attempt["number"], attempt["worker"], attempt["status"], attempt["code"]) == (
        1,
        "w1",
        "failed",
        "code_raised",
    )
    assert attempt["started_at"] == claim.started_at <= attempt["finished_at"]
    assert store.due(10).queued == []


def test_a_retry_that_is_due_is_claimed_as_the_next_attempt_of_the_same_run(store: Store) -> None:
    task = retrying(store, after=0, retry=Retry(max=2))
    assert store.due(10).queued == [f"{task.id}.1"]
    assert status(store, task) == (S.QUEUED, S.QUEUED)
    claim = take(store, worker="w2")
    assert (claim.run_id, claim.attempt) == (f"{task.id}.1", 2)
    assert end(store, claim, worker="w2")
    found = store.get(task.id)
    assert found.last_run is not None
    assert (found.status, found.run_count, found.next_run_at, found.reason) == (S.SUCCEEDED, 1, None, None)
    assert len(found.last_run.attempts) == 1
    assert found.last_run.attempt == 2


def test_a_new_attempt_does_not_show_what_the_one_before_left(store: Store) -> None:
    task = submit(store)
    outcome = {"result": None, "error": {"code": "code_raised"}, "stdout": "one"}
    assert end(store, take(store), status=S.FAILED, reason="code_raised", outcome=outcome, retry_after=0)
    store.due(10)
    take(store)
    run = store.get(task.id).last_run
    assert run is not None
    assert (run.error, run.stdout) == (None, "")


def test_a_retry_after_the_run_expired_is_not_waited_for(store: Store) -> None:
    task = submit(store, expires_in=10)
    assert end(store, take(store), status=S.FAILED, reason="code_raised", retry_after=60_000)
    assert status(store, task) == (S.FAILED, S.FAILED)
    assert store.get(task.id).next_run_at is None


def test_a_retry_of_a_scheduled_task_leaves_its_schedule_alone(store: Store) -> None:
    task = submit(store, task_type="scheduled", next_run_at=NOW)
    (run_id,) = fire(store, task, next_due=NOW * 2)
    assert end(store, take(store, run_id=run_id), status=S.FAILED, reason="code_raised", retry_after=60_000)
    found = store.get(task.id)
    assert found.last_run is not None
    assert (found.status, found.last_run.status, found.next_run_at) == (S.SCHEDULED, S.RETRYING, NOW * 2)


# --- stop --------------------------------------------------------------------------------------------------------


def test_a_queued_task_stops_at_once_and_never_runs(store: Store) -> None:
    task = submit(store)
    assert store.stop(task.id) == (S.QUEUED, S.STOPPED)
    found = store.get(task.id)
    assert found.last_run is not None
    assert (found.last_run.status, found.last_run.reason, found.reason) == (
        S.STOPPED,
        "stop_requested",
        "stop_requested",
    )
    assert store.claim("w1", ["code"], f"{task.id}.1") is None
    assert store.claim("w1", ["code"]) is None


def test_a_delayed_task_stops_and_is_never_due(store: Store) -> None:
    task = submit(store, task_type="delayed", delay=0)
    assert store.stop(task.id) == (S.SCHEDULED, S.STOPPED)
    assert store.get(task.id).next_run_at is None
    assert store.due(10).queued == []
    assert store.due(10).next_due is None


def test_a_retrying_task_stops_and_is_never_due(store: Store) -> None:
    task = retrying(store, after=0)
    assert store.stop(task.id) == (S.RETRYING, S.STOPPED)
    assert store.get(task.id).next_run_at is None
    assert store.due(10).queued == []


def test_a_running_task_is_stopping_until_its_worker_says_so(store: Store) -> None:
    task = submit(store)
    claim = take(store)
    assert store.stop(task.id) == (S.RUNNING, S.STOPPING)
    assert store.await_call("w1", 1) == claim.run_id
    assert store.stop(task.id) == (S.STOPPING, S.STOPPING)
    assert end(store, claim, status=S.FAILED, reason="stopped")
    found = store.get(task.id)
    assert found.last_run is not None
    assert (found.status, found.last_run.reason) == (S.STOPPED, "stop_requested")


def test_a_stop_wins_over_an_outcome_that_comes_at_the_same_time(store: Store) -> None:
    task = submit(store)
    claim = take(store)
    store.stop(task.id)
    assert end(store, claim, outcome={"result": "done all the same"})
    found = store.get(task.id)
    assert found.last_run is not None
    assert (found.status, found.reason) == (S.STOPPED, "stop_requested")
    assert found.last_run.result == "done all the same"


def test_a_stop_wins_over_a_retry(store: Store) -> None:
    task = submit(store)
    claim = take(store)
    store.stop(task.id)
    assert end(store, claim, status=S.FAILED, reason="code_raised", retry_after=0)
    assert status(store, task) == (S.STOPPED, S.STOPPED)
    assert store.due(10).queued == []


@pytest.mark.parametrize("ended", [S.SUCCEEDED, S.FAILED, S.TIMED_OUT, S.LOST])
def test_what_has_ended_is_not_stopped(store: Store, ended: Status) -> None:
    task = submit(store)
    end(store, take(store), status=ended)
    before = store.get(task.id)
    assert store.stop(task.id) == (ended, ended)
    assert store.get(task.id) == before


def test_stopping_twice_is_fine(store: Store) -> None:
    task = submit(store)
    store.stop(task.id)
    before = store.get(task.id)
    assert store.stop(task.id) == (S.STOPPED, S.STOPPED)
    assert store.get(task.id) == before


def test_of_a_stop_and_a_finish_at_once_one_comes_first_and_both_agree(store: Store) -> None:
    for _ in range(30):
        task = submit(store)
        claim = take(store)
        answers: dict[str, Any] = {}
        barrier = threading.Barrier(2)

        def stop(task: Task = task, start: Any = barrier, said: Any = answers) -> None:
            start.wait()
            said["stop"] = store.stop(task.id)

        def finish(claim: Claim = claim, start: Any = barrier, said: Any = answers) -> None:
            start.wait()
            said["finish"] = end(store, claim)

        threads = [threading.Thread(target=stop), threading.Thread(target=finish)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers["finish"]
        ended = {(S.SUCCEEDED, S.SUCCEEDED): S.SUCCEEDED, (S.RUNNING, S.STOPPING): S.STOPPED}[answers["stop"]]
        assert store.get(task.id).status is ended


def test_an_idle_schedule_stops_at_once_and_never_fires(store: Store) -> None:
    task = submit(store, task_type="scheduled", next_run_at=1)
    assert store.stop(task.id) == (S.SCHEDULED, S.STOPPED)
    found = store.get(task.id)
    assert (found.next_run_at, found.reason) == (None, "stop_requested")
    assert store.due(10).schedules == []


def test_a_schedule_with_running_queued_and_waiting_runs_stops_them_all(store: Store) -> None:
    task = submit(store, task_type="scheduled", next_run_at=1, timing=make_timing(overlap="queue"))
    running, queued = fire(store, task, fire=(1, 2))
    fire(store, task, overlap="queue", fire=(3, 4))
    claim = take(store, run_id=running)
    assert store.stop(task.id) == (S.SCHEDULED, S.STOPPING)
    runs, _, _ = store.runs(task.id, limit=10)
    assert [run.status for run in runs] == [S.STOPPED, S.STOPPED, S.STOPPED, S.STOPPING]
    assert store.claim("w2", ["code"], queued) is None
    assert end(store, claim)
    assert store.get(task.id).status is S.STOPPED
    assert {run.status for run in store.runs(task.id, limit=10)[0]} == {S.STOPPED}
    assert store.claim("w2", ["code"]) is None
    assert store.due(10).schedules == []


def test_a_schedule_whose_runs_all_wait_stops_at_once(store: Store) -> None:
    task = submit(store, task_type="scheduled", next_run_at=1)
    fire(store, task, fire=(1, 2, 3))
    assert store.stop(task.id) == (S.SCHEDULED, S.STOPPED)
    assert {run.status for run in store.runs(task.id, limit=10)[0]} == {S.STOPPED}


def test_a_completed_schedule_stops_only_what_still_runs(store: Store) -> None:
    task = submit(store, task_type="scheduled", next_run_at=1)
    (run_id,) = fire(store, task, next_due=None)
    claim = take(store, run_id=run_id)
    assert store.stop(task.id) == (S.COMPLETED, S.STOPPING)
    assert end(store, claim)
    assert store.stop(task.id) == (S.STOPPED, S.STOPPED)
    idle = submit(store, task_type="scheduled", next_run_at=1)
    fire(store, idle, next_due=None, fire=())
    assert store.stop(idle.id) == (S.COMPLETED, S.COMPLETED)


# --- delete ------------------------------------------------------------------------------------------------------


def one_in_every_state(store: Store) -> list[Task]:
    tags = {"tags": ("a", "b")}
    tasks = [submit(store, task_type="delayed", **tags), submit(store, task_type="scheduled", next_run_at=NOW * 2)]
    tasks.append(submit(store, expires_in=60, **tags))
    store.claim("w1", ["code"], f"{tasks[-1].id}.1")
    tasks.append(submit(store, **tags))
    store.claim("w1", ["code"], f"{tasks[-1].id}.1")
    store.stop(tasks[-1].id)
    for ended in (S.SUCCEEDED, S.FAILED, S.TIMED_OUT, S.LOST):
        tasks.append(submit(store))
        end(store, take(store), status=ended, reason="x", outcome={"result": 1})
    tasks.append(retrying(store, retry=Retry(max=1)))
    tasks.append(submit(store, expires_in=0.001))
    store._redis.command("HSET", f"{{tms}}:run:{tasks[-1].id}.1", "due", 1)
    store.claim("w1", ["code"], f"{tasks[-1].id}.1")
    busy = submit(store, task_type="scheduled", next_run_at=1, **tags)
    (running, *_) = fire(store, busy, fire=(1, 2), skip=(0,))
    take(store, run_id=running)
    fire(store, busy, overlap="queue", fire=(3, 4))
    done = submit(store, task_type="scheduled", next_run_at=1)
    fire(store, done, next_due=None)
    tasks += [busy, done, submit(store, kind="http", priority="high", **tags)]
    store.stop(submit(store).id)
    return tasks


def test_deleting_leaves_no_key_whatever_the_status(store: Store) -> None:
    tasks = one_in_every_state(store)
    found = {task.status for task in store.list(limit=100)[0]}
    assert found == set(Status) - {S.PAUSED, S.SKIPPED}
    for task in store.list(limit=100)[0]:
        store.delete(task.id)
        assert not [key for key in keys(store) if task.id in key]
        with pytest.raises(TaskNotFound):
            store.get(task.id)
    assert len(tasks) > 10
    assert keys(store) == set()


def test_deleting_calls_off_the_run_in_progress(store: Store) -> None:
    task = submit(store)
    claim = take(store)
    store.delete(task.id)
    assert store.await_call("w1", 1) == claim.run_id
    assert store.heartbeat("w1", {}, {}, [claim]).lost == [claim.id]


def test_deleting_twice_is_not_found_the_second_time(store: Store) -> None:
    task = submit(store)
    store.delete(task.id)
    with pytest.raises(TaskNotFound):
        store.delete(task.id)


def test_deleting_one_task_leaves_the_others(store: Store) -> None:
    kept = submit(store, tags=("a",))
    gone = submit(store, tags=("a",))
    before = store.get(kept.id)
    store.delete(gone.id)
    assert store.get(kept.id) == before
    assert [task.id for task in store.list(limit=10, filters={"tag": "a"})[0]] == [kept.id]


# --- runs --------------------------------------------------------------------------------------------------------


def test_runs_are_paged_newest_first(store: Store) -> None:
    task = submit(store, task_type="scheduled", next_run_at=1)
    fire(store, task, fire=tuple(range(1, 8)))
    seen: list[int] = []
    below = None
    while True:
        runs, below, total = store.runs(task.id, limit=3, below=below)
        seen += [run.number for run in runs]
        assert total == 7
        if below is None:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]


def test_runs_are_filtered_by_status(store: Store) -> None:
    task = submit(store, task_type="scheduled", next_run_at=1)
    fire(store, task, fire=(5, 6), skip=(1, 2, 3))
    assert [run.number for run in store.runs(task.id, limit=10, status="skipped")[0]] == [3, 2, 1]
    assert [run.due_at for run in store.runs(task.id, limit=10, status="queued")[0]] == [6, 5]
    assert store.runs(task.id, limit=10, below=10**11)[2] == 5
    assert store.runs(task.id, limit=10, below=1)[:2] == ([], None)


def test_a_page_of_large_runs_is_cut_and_none_is_left_out(store: Store) -> None:
    # A hundred results of a megabyte were one answer of 126 MB, and Redis answered nobody meanwhile.
    task = submit(store, task_type="scheduled", next_run_at=1)
    fire(store, task, fire=tuple(range(1, 7)), skip=(0,))
    for number in range(6):
        end(store, take(store), outcome={"result": "x" * (600_000 if number % 2 else 10)})
    pages: list[list[int]] = []
    below = None
    while below or not pages:
        runs, below, total = store.runs(task.id, limit=100, below=below)
        assert total == 7
        pages.append([run.number for run in runs])
        assert sum(len(str(run.result)) for run in runs) < 1_100_000
    assert [number for page in pages for number in page] == [7, 6, 5, 4, 3, 2, 1]
    assert len(pages) == 3
    assert len(store.runs(task.id, limit=100, status="succeeded")[0]) == 2


def test_of_batches_that_are_stored_together_each_has_its_own_fate(store: Store) -> None:
    store.connection.command("SCRIPT", "FLUSH")
    tasks = [make_task() for _ in range(4)]
    quotas = Quotas(tasks=2)
    batches = [
        Batch(entries=[Entry(task=task, delay=None, losses=1)], owner="o", history=1, quotas=quotas) for task in tasks
    ]
    first, second, third, again = store.submit_each([*batches[:3], batches[0]])
    assert first == again
    assert isinstance(second, list)
    assert isinstance(third, TooMuch)
    assert [store.owner(task.id) for task in tasks] == ["o", "o", None, None]
    assert store.submit_each([]) == []
