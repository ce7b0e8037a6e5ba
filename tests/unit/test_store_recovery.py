"""Heartbeats, leases that run out, runs given back, and what a worker that was away may still do."""

from __future__ import annotations

import time

import pytest

from tasks.model import Retry, Run, Status, Task
from tasks.store import Store
from tests.make import end, fire, keys, run_out, submit, take

S = Status


def last_run(store: Store, task: Task) -> Run:
    run = store.get(task.id).last_run
    assert run is not None
    return run


def silent_since(store: Store, milliseconds: int) -> None:
    """Let the last tick of any beat be so long ago."""
    store._redis.command("SET", "{tms}:beat", store.due(1).now - milliseconds)


def run_out_since(store: Store, milliseconds: int) -> None:
    """Let every lease have run out so long ago."""
    for run_id in store._redis.command("ZRANGE", "{tms}:leases", 0, -1):
        store._redis.command("ZADD", "{tms}:leases", store.due(1).now - milliseconds, run_id)


# --- leases ------------------------------------------------------------------------------------------------------


def test_a_run_whose_lease_holds_is_left_alone(store: Store) -> None:
    task = submit(store)
    take(store)
    assert store.reap(10) == []
    assert last_run(store, task).status is S.RUNNING


def test_a_run_whose_worker_died_is_queued_again_and_the_attempt_is_kept(store: Store) -> None:
    task = submit(store, losses=2)
    claim = take(store)
    run_out(store)
    assert store.reap(10) == [(claim.run_id, "queued")]
    run = last_run(store, task)
    (attempt,) = run.attempts
    assert (run.status, run.reason, run.finished_at) == (S.QUEUED, None, None)
    assert (attempt["number"], attempt["worker"], attempt["status"], attempt["code"]) == (
        1,
        "w1",
        "lost",
        "worker_lost",
    )
    assert store.get(task.id).status is S.QUEUED
    again = take(store, worker="w2", run_id=claim.run_id)
    assert again.attempt == 2
    assert store.reap(10) == []


@pytest.mark.parametrize("first", ["reap", "tick"])
def test_leases_that_ran_out_while_nobody_could_extend_them_are_spared(store: Store, first: str) -> None:
    # As if Redis, or the whole machine, had been away for a minute: the reaper must not be faster than the worker.
    submit(store)
    claim = take(store)
    silent_since(store, 60_000)
    run_out_since(store, 20_000)
    assert (store.reap(10) if first == "reap" else store.tick()) in ([], None)
    assert store.reap(10) == []
    assert not store.heartbeat("w1", {"id": "w1"}, {}, [claim]).lost
    assert end(store, claim)


def test_a_spared_lease_runs_out_all_the_same(store: Store) -> None:
    submit(store, losses=2)
    claim = take(store)
    silent_since(store, 60_000)
    run_out_since(store, 20_000)
    store.tick()
    run_out_since(store, 1)
    store.tick()
    assert store.reap(10) == [(claim.run_id, "queued")]


def test_a_lease_that_had_run_out_before_is_not_spared(store: Store) -> None:
    submit(store, losses=2)
    claim = take(store)
    silent_since(store, 60_000)
    run_out_since(store, 70_000)
    store.tick()
    assert store.reap(10) == [(claim.run_id, "queued")]


def test_a_beat_that_was_silent_for_a_moment_spares_nothing(store: Store) -> None:
    submit(store, losses=2)
    claim = take(store)
    silent_since(store, 5_000)
    run_out_since(store, 1_000)
    store.tick()
    assert store.reap(10) == [(claim.run_id, "queued")]


def test_a_run_that_keeps_losing_its_workers_is_lost_in_the_end(store: Store) -> None:
    task = submit(store, losses=2)
    for number in (1, 2):
        assert take(store).attempt == number
        run_out(store)
        assert store.reap(10) == [(f"{task.id}.1", "queued")]
    assert take(store).attempt == 3
    run_out(store)
    assert store.reap(10) == [(f"{task.id}.1", "lost")]
    run = last_run(store, task)
    assert (run.status, run.reason, run.attempt, len(run.attempts)) == (S.LOST, "worker_lost", 3, 2)
    assert run.finished_at is not None
    assert (store.get(task.id).status, store.get(task.id).reason) == (S.LOST, "worker_lost")
    assert store.claim("w2", ["code"]) is None


def test_a_call_that_may_not_be_repeated_is_lost_at_once(store: Store) -> None:
    task = submit(store, kind="http", losses=0)
    take(store)
    run_out(store)
    assert store.reap(10) == [(f"{task.id}.1", "lost")]
    assert last_run(store, task).attempts == ()


def test_attempts_that_failed_do_not_count_as_losses(store: Store) -> None:
    task = submit(store, losses=1, retry=Retry(max=5))
    for _ in range(3):
        end(store, take(store), status=S.FAILED, reason="code_raised", retry_after=0)
        store.due(10)
    take(store)
    run_out(store)
    assert store.reap(10) == [(f"{task.id}.1", "queued")]
    assert [attempt["status"] for attempt in last_run(store, task).attempts] == ["failed"] * 3 + ["lost"]


def test_a_lost_attempt_does_not_pass_off_the_outcome_of_the_one_before(store: Store) -> None:
    task = submit(store, losses=0)
    failed = {"result": None, "error": {"code": "code_raised"}, "stdout": "before"}
    end(store, take(store), status=S.FAILED, reason="code_raised", outcome=failed, retry_after=0)
    store.due(10)
    take(store)
    run_out(store)
    store.reap(10)
    run = last_run(store, task)
    assert (run.status, run.error, run.stdout) == (S.LOST, None, "")


def test_a_stopping_run_whose_worker_died_is_stopped(store: Store) -> None:
    task = submit(store)
    take(store)
    store.stop(task.id)
    run_out(store)
    assert store.reap(10) == [(f"{task.id}.1", "stopped")]
    run = last_run(store, task)
    assert (run.status, run.reason, store.get(task.id).status) == (S.STOPPED, "stop_requested", S.STOPPED)


def test_a_lost_run_of_a_schedule_lets_the_next_one_in(store: Store) -> None:
    task = submit(store, task_type="scheduled", next_run_at=1, losses=0)
    fire(store, task, overlap="queue", fire=(1, 2))
    take(store)
    run_out(store)
    assert store.reap(10) == [(f"{task.id}.1", "lost")]
    assert take(store).run_id == f"{task.id}.2"


def test_a_lease_of_a_run_that_is_gone_is_forgotten(store: Store) -> None:
    store._redis.command("ZADD", "{tms}:leases", 1, "gone.1")
    assert store.reap(10) == [("gone.1", "")]
    assert keys(store) == set()


def test_only_so_many_are_reaped_at_once(store: Store) -> None:
    for _ in range(5):
        submit(store)
        take(store)
    run_out(store)
    assert [len(store.reap(2)) for _ in range(4)] == [2, 2, 1, 0]


def test_a_zombie_cannot_finish_what_was_taken_from_it(store: Store) -> None:
    task = submit(store)
    zombie = take(store)
    run_out(store)
    store.reap(10)
    assert not end(store, zombie, outcome={"result": "queued by now"})
    second = take(store, worker="w2")
    assert not end(store, zombie, outcome={"result": "of another by now"})
    assert store.give_back(zombie, "w1", {}) is None
    assert end(store, second, worker="w2", outcome={"result": "the one outcome"})
    assert not end(store, zombie, outcome={"result": "too late"})
    run = last_run(store, task)
    assert (run.status, run.result, run.worker) == (S.SUCCEEDED, "the one outcome", "w2")


def test_a_zombie_that_has_the_run_again_cannot_finish_the_attempt_it_lost(store: Store) -> None:
    submit(store)
    first = take(store)
    run_out(store)
    store.reap(10)
    second = take(store)
    assert not end(store, first)
    assert end(store, second)


# --- give_back ---------------------------------------------------------------------------------------------------


def test_a_run_given_back_is_queued_again_and_does_not_count_as_a_loss(store: Store) -> None:
    task = submit(store, losses=1)
    for number in (1, 2, 3):
        claim = take(store)
        assert claim.attempt == number
        assert store.give_back(claim, "w1", {"result": None, "stdout": "so far"}) is S.QUEUED
    run = last_run(store, task)
    assert [attempt["code"] for attempt in run.attempts] == ["worker_shutdown"] * 3
    assert store.reap(10) == []


def test_a_run_that_may_not_be_repeated_is_lost_when_given_back(store: Store) -> None:
    task = submit(store, kind="http", losses=0)
    outcome = {"result": None, "stdout": "so far"}
    assert store.give_back(take(store), "w1", outcome) is S.LOST
    run = last_run(store, task)
    assert (run.status, run.reason, run.stdout) == (S.LOST, "worker_shutdown", "so far")


def test_a_stopping_run_given_back_is_stopped(store: Store) -> None:
    task = submit(store)
    claim = take(store)
    store.stop(task.id)
    assert store.give_back(claim, "w1", {"result": None}) is S.STOPPED
    assert last_run(store, task).reason == "stop_requested"


def test_the_last_run_a_short_history_keeps_is_told_when_given_back(store: Store) -> None:
    task = submit(store, task_type="scheduled", next_run_at=1, history=1, losses=0)
    (run_id,) = fire(store, task)
    claim = take(store, run_id=run_id)
    fire(store, task, overlap="skip")
    assert store.give_back(claim, "w1", {"result": None}) is S.LOST


# --- heartbeat ---------------------------------------------------------------------------------------------------


def test_a_heartbeat_extends_the_leases_it_names_and_no_others(store: Store) -> None:
    submit(store)
    submit(store)
    held, other = take(store), take(store)
    run_out(store)
    pulse = store.heartbeat("w1", {"id": "w1"}, {}, [held])
    assert (pulse.stops, pulse.lost, pulse.waiting) == ([], [], [])
    assert store.reap(10) == [(other.run_id, "queued")]


def test_a_heartbeat_tells_which_runs_to_stop_and_which_are_lost(store: Store) -> None:
    stopping, reaped, deleted, finished = (submit(store) for _ in range(4))
    claims = {task.id: take(store, run_id=f"{task.id}.1") for task in (stopping, reaped, deleted, finished)}
    run_out(store)
    store._redis.command("ZADD", "{tms}:leases", 10**15, claims[stopping.id].run_id)
    end(store, claims[finished.id])
    store.delete(deleted.id)
    store.reap(10)
    store.stop(stopping.id)
    pulse = store.heartbeat("w1", {}, {}, list(claims.values()))
    assert pulse.stops == [claims[stopping.id].run_id]
    assert set(pulse.lost) == {claims[task.id].id for task in (reaped, deleted, finished)}


def test_a_heartbeat_for_an_earlier_attempt_extends_nothing(store: Store) -> None:
    submit(store)
    first = take(store)
    run_out(store)
    store.reap(10)
    take(store)
    run_out(store)
    assert store.heartbeat("w1", {}, {}, [first]).lost == [first.id]
    assert len(store.reap(10)) == 1


def test_a_heartbeat_finds_runs_for_which_no_bell_rang(store: Store) -> None:
    code = [submit(store), submit(store)]
    http = submit(store, kind="http")
    assert sorted(store.heartbeat("w1", {}, {"code": 2, "http": 9}, []).waiting) == sorted(
        f"{task.id}.1" for task in (*code[:2], http)
    )
    assert store.heartbeat("w1", {}, {"http": 1}, []).waiting == [f"{http.id}.1"]
    assert store.heartbeat("w1", {}, {}, []).waiting == []


# --- who is there ------------------------------------------------------------------------------------------------


def test_health_tells_of_workers_beat_and_queues(store: Store) -> None:
    empty = store.health(["code", "http"])
    assert empty["workers"] == []
    assert empty["beat"] == {"alive": False, "last_tick_seconds_ago": None}
    assert empty["queues"] == {"code": 0, "http": 0, "due": 0, "running": 0, "held": 0}
    submit(store)
    submit(store)
    submit(store, kind="http")
    submit(store, task_type="delayed")
    take(store, kinds=["code"])
    store.heartbeat("w1", {"id": "w1", "host": "主机"}, {}, [])
    store.tick()
    found = store.health(["code", "http"])
    assert found["workers"] == [{"id": "w1", "host": "主机"}]
    assert found["beat"]["alive"]
    assert 0 <= found["beat"]["last_tick_seconds_ago"] < 5
    assert found["queues"] == {"code": 1, "http": 1, "due": 1, "running": 1, "held": 0}


def test_a_silent_worker_and_a_silent_beat_are_not_alive(store: Store) -> None:
    store.heartbeat("w1", {"id": "w1"}, {}, [])
    store._redis.command("ZADD", "{tms}:workers", 1, "w1")
    silent_since(store, 60_000)
    found = store.health(["code"])
    assert found["workers"] == []
    assert found["beat"] == {"alive": False, "last_tick_seconds_ago": pytest.approx(60, abs=5)}
    store.reap(10)
    assert store._redis.command("ZCARD", "{tms}:workers") == 0


def test_a_worker_that_leaves_is_no_longer_listed_and_leaves_no_key(store: Store) -> None:
    store.heartbeat("w1", {"id": "w1"}, {}, [])
    submit(store)
    take(store)
    store.stop(store.list(limit=1)[0][0].id)
    store.leave("w1")
    assert store.health(["code"])["workers"] == []
    assert not [key for key in store._redis.command("KEYS", "*") if "worker" in key]


def test_a_call_for_a_worker_that_never_listens_is_forgotten_in_time(store: Store) -> None:
    task = submit(store)
    take(store)
    store.stop(task.id)
    assert 0 < store._redis.command("TTL", "{tms}:worker:w1:calls") <= 60


def test_waiting_for_a_call_ends_without_one(store: Store) -> None:
    start = time.monotonic()
    assert store.await_call("w1", 0.05) is None
    assert time.monotonic() - start >= 0.05


# --- runs that their worker never heard of -----------------------------------------------------------------------


def unheard(store: Store, run_id: str) -> None:
    """Let its lease be as old as it is when no heartbeat has named the run for four seconds."""
    store._redis.command("ZINCRBY", "{tms}:leases", -4000, run_id)


@pytest.mark.parametrize("losses", [0, 2])
def test_a_run_claimed_without_its_workers_knowledge_is_queued_as_if_it_had_never_been(
    store: Store, losses: int
) -> None:
    task = submit(store, losses=losses)
    claim = take(store)
    unheard(store, claim.run_id)
    assert store.unclaim("w1", []) == [claim.run_id]
    run = last_run(store, task)
    assert (run.status, run.attempt, run.attempts, run.worker, run.started_at) == (S.QUEUED, 0, (), None, None)
    assert take(store, worker="w2").attempt == 1
    assert store.reap(10) == []


def test_what_the_worker_knows_what_is_new_and_what_is_anothers_stays(store: Store) -> None:
    for _ in range(3):
        submit(store)
    known, new, others = take(store), take(store), take(store, worker="w2")
    unheard(store, known.run_id)
    unheard(store, others.run_id)
    assert store.unclaim("w1", [known.id]) == []
    for claim in (known, new, others):
        assert last_run(store, store.get(claim.run_id[:-2])).status is S.RUNNING


def test_another_attempt_of_a_run_that_the_worker_knows_is_not_the_one_it_knows(store: Store) -> None:
    submit(store, losses=2)
    first = take(store)
    run_out(store)
    store.reap(10)
    second = take(store, run_id=first.run_id)
    unheard(store, second.run_id)
    assert store.unclaim("w1", [first.id]) == [first.run_id]
    run = last_run(store, store.get(first.run_id[:-2]))
    assert (run.status, run.attempt, len(run.attempts)) == (S.QUEUED, 1, 1)


def test_a_stop_of_a_run_that_nobody_has_begun_ends_it(store: Store) -> None:
    task = submit(store)
    claim = take(store)
    store.stop(task.id)
    unheard(store, claim.run_id)
    assert store.unclaim("w1", []) == [claim.run_id]
    assert last_run(store, task).status is S.STOPPED
