"""A worker in this process, against a real store: claim, perform, finish, stop, drain, and Redis that goes away."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import StoreUnavailable
from tasks.model import Done, Retry, Run, Status
from tasks.store import Pulse, Store
from tasks.worker import STUCK, Worker
from tests.kinds import DeafKind, EchoKind, OnceKind, eventually
from tests.make import make_settings, run_out, submit
from tests.valkey import Valkey

S = Status


class Bench:
    """A worker with its kinds, and the threads in which it hears bells."""

    def __init__(self, store: Store, folder: Path, **over: Any) -> None:
        settings = make_settings(folder, **{"grace_seconds": 0.3, **over})
        self.store = store
        self.echo, self.once, self.deaf = EchoKind(settings), OnceKind(settings), DeafKind(settings)
        self.rung: list[str] = []
        self.left: list[int] = []
        kinds = {kind.name: kind for kind in (self.echo, self.once, self.deaf)}
        self.worker = Worker(store=store, kinds=kinds, settings=settings, ring=self._ring, leave=self.left.append)
        self._threads: list[threading.Thread] = []

    def _ring(self, run_ids: Iterable[str]) -> None:
        self.rung.extend(run_ids)

    def hear(self, run_id: str) -> threading.Thread:
        """Ring, in a thread as the pool has them."""
        thread = threading.Thread(target=self.worker.hear, args=(run_id,), daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def task(self, kind: str = "echo", **over: Any) -> str:
        """A stored task; the id of its first run."""
        spec = over.pop("spec", {})
        wanted = {"echo": {"echo": 1}, "once": {"once": True}, "deaf": {"deaf": True, "echo": 1}}[kind]
        return f"{submit(self.store, kind=kind, spec={**wanted, **spec}, **over).id}.1"

    def run(self, run_id: str) -> Run:
        run = self.store.get(run_id.rpartition(".")[0]).last_run
        assert run is not None
        return run

    def status(self, run_id: str) -> Status:
        return self.run(run_id).status

    def running(self, run_id: str) -> None:
        """Hear a bell for it, and wait until it runs."""
        self.hear(run_id)
        eventually(lambda: self.status(run_id) is S.RUNNING)

    def end(self) -> None:
        self.deaf.released.set()
        for work in list(self.worker._works.values()):
            work.report.stop("shutdown")
        self.worker.close()
        with contextlib.suppress(StoreUnavailable):  # a call, so that the heartbeat does not wait out its second
            self.store._redis.command("RPUSH", f"{{tms}}:worker:{self.worker.name}:calls", "none")
        pulse = self.worker._pulse_thread
        for thread in [*self._threads, *([pulse] if pulse else [])]:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def bench(store: Store, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(store, tmp_path)
    yield bench
    bench.end()


Make = Callable[..., Bench]


@pytest.fixture
def make(store: Store, tmp_path: Path) -> Iterator[Make]:
    """Makes benches with settings of the test's own."""
    made: list[Bench] = []

    def one(on: Store = store, **over: Any) -> Bench:
        made.append(Bench(on, tmp_path, **over))
        return made[-1]

    yield one
    for bench in made:
        bench.end()


def wait(seconds: float, **over: Any) -> dict[str, Any]:
    return {"spec": {"wait": seconds, **over}}


# --- from bell to outcome ----------------------------------------------------------------------------------------


def test_a_run_is_done_and_its_result_and_output_are_recorded(bench: Bench) -> None:
    run_id = bench.task(spec={"echo": {"名": [1, 2]}, "prints": "印\n"})
    bench.worker.hear(run_id)
    run = bench.run(run_id)
    assert (run.status, run.result, run.stdout, run.error) == (S.SUCCEEDED, {"名": [1, 2]}, "印\n", None)
    assert (run.worker, run.attempt, run.reason) == (bench.worker.name, 1, None)
    assert bench.echo.performed == [{"名": [1, 2]}]


def test_a_bell_that_rings_twice_does_the_run_once(bench: Bench) -> None:
    run_id = bench.task()
    threads = [bench.hear(run_id) for _ in range(10)]
    for thread in threads:
        thread.join(10)
    assert bench.echo.performed == [1]


@pytest.mark.parametrize("run_id", ["", "x", "01a20be3-2f7a-77f2-92ee-ad4b7d4e9bd8.1", "中文", "{tms}", "x" * 80])
def test_a_bell_for_nothing_does_nothing(bench: Bench, run_id: str) -> None:
    bench.worker.hear(run_id)
    assert bench.echo.performed == []


def test_a_bell_for_a_stopped_or_deleted_run_does_nothing(bench: Bench) -> None:
    stopped, deleted = bench.task(), bench.task()
    bench.store.stop(stopped[:-2])
    bench.store.delete(deleted[:-2])
    bench.worker.hear(stopped)
    bench.worker.hear(deleted)
    assert bench.echo.performed == []
    assert bench.status(stopped) is S.STOPPED


def test_after_a_run_the_worker_goes_on_with_whatever_of_its_kind_waits(bench: Bench) -> None:
    runs = [bench.task(spec={"echo": number}) for number in range(5)]
    other = bench.task("once", spec={"echo": "other"})
    bench.worker.hear(runs[0])
    assert bench.echo.performed == [0, 1, 2, 3, 4]
    assert {bench.status(run_id) for run_id in runs} == {S.SUCCEEDED}
    assert bench.status(other) is S.QUEUED


def test_a_failure_is_recorded_with_its_code_message_and_line(bench: Bench) -> None:
    run_id = bench.task(spec={"fails": "code_raised", "permanent": True, "prints": "before"})
    bench.worker.hear(run_id)
    run = bench.run(run_id)
    assert (run.status, run.reason, run.stdout, run.result) == (S.FAILED, "code_raised", "before", None)
    assert run.error == {"code": "code_raised", "message": "It failed.", "traceback": None, "line": 2}


def test_a_timeout_is_a_status_of_its_own(bench: Bench) -> None:
    run_id = bench.task(timeout=0.05, **wait(5))
    bench.worker.hear(run_id)
    assert (bench.status(run_id), bench.run(run_id).reason) == (S.TIMED_OUT, "timed_out")


def test_a_kind_that_breaks_is_our_fault_and_ends_only_its_run(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    run_id, following = bench.task(spec={"raises": True}), bench.task(spec={"echo": "next"})
    bench.worker.hear(run_id)
    run = bench.run(run_id)
    assert (run.status, run.reason) == (S.FAILED, "internal_error")
    assert "a fault of the kind" not in str(run.error)
    assert "a fault of the kind" in caplog.text
    assert bench.status(following) is S.SUCCEEDED


@pytest.mark.parametrize("value", ["\ud800", float("nan")])
def test_an_outcome_that_cannot_be_stored_ends_its_run_and_takes_no_slot(
    make: Make, value: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make(max_concurrent_tasks=1)
    first = bench.task()
    with monkeypatch.context() as patched:
        patched.setattr(bench.echo, "run", lambda *_: Done(value=value))
        bench.worker.hear(first)
    second = bench.task()
    bench.worker.hear(second)
    assert (bench.run(first).status, (bench.run(first).error or {})["code"]) == (S.FAILED, "internal_error")
    assert "cannot be stored" in caplog.text
    assert bench.status(second) is S.SUCCEEDED


def test_a_stored_spec_that_its_kind_no_longer_takes_is_our_fault_too(bench: Bench) -> None:
    run_id = bench.task(spec={"gone_field": 1})
    bench.worker.hear(run_id)
    assert bench.run(run_id).reason == "internal_error"


def test_a_failed_attempt_is_tried_again_later_where_the_task_says_so(bench: Bench) -> None:
    run_id = bench.task(spec={"fails_first": 1}, retry=Retry(max=2, backoff=0.01, jitter=0.0))
    bench.worker.hear(run_id)
    assert bench.status(run_id) is S.RETRYING
    eventually(lambda: bench.store.due(10).queued == [run_id])
    bench.worker.hear(run_id)
    run = bench.run(run_id)
    assert (run.status, run.attempt) == (S.SUCCEEDED, 2)
    assert [attempt["code"] for attempt in run.attempts] == ["code_raised"]


def test_only_a_task_with_retries_names_its_run_to_the_other_side(bench: Bench) -> None:
    first, second = bench.task(spec={"echo": 1}), bench.task(spec={"echo": 2}, retry=Retry(max=1))
    bench.worker.hear(first)
    assert bench.echo.performed == [1, 2]
    assert bench.echo.idempotency_keys == [None, second]


# --- room --------------------------------------------------------------------------------------------------------


def test_no_more_runs_at_once_than_there_is_room_for_and_none_is_forgotten(make: Make) -> None:
    bench = make(max_concurrent_tasks=3)
    runs = [bench.task(spec={"echo": number, "wait": 0.02}) for number in range(12)]
    threads = [bench.hear(run_id) for run_id in runs]
    for thread in threads:
        thread.join(20)
    assert bench.echo.most_at_once == 3
    assert sorted(bench.echo.performed) == list(range(12))
    assert {bench.status(run_id) for run_id in runs} == {S.SUCCEEDED}


def test_a_run_that_was_turned_away_is_done_by_the_next_free_slot_of_another_kind(make: Make) -> None:
    bench = make(max_concurrent_tasks=1)
    first = bench.task(**wait(0.3))
    bench.running(first)
    other = bench.task("once")
    bench.worker.hear(other)
    assert bench.status(other) is S.QUEUED
    eventually(lambda: bench.status(other) is S.SUCCEEDED)
    assert bench.status(first) is S.SUCCEEDED


# --- stop and lost leases ----------------------------------------------------------------------------------------


def test_a_stop_reaches_a_run_at_once(bench: Bench) -> None:
    run_id = bench.task(**wait(30))
    bench.worker.start()
    bench.running(run_id)
    assert bench.store.stop(run_id[:-2])[1] is S.STOPPING
    eventually(lambda: bench.status(run_id) is S.STOPPED)
    assert bench.run(run_id).reason == "stop_requested"
    later = bench.task(spec={"echo": "later"})
    bench.worker.hear(later)
    assert bench.status(later) is S.SUCCEEDED


def test_a_deleted_run_is_ended_and_its_outcome_dropped(bench: Bench) -> None:
    run_id = bench.task(**wait(30))
    bench.worker.start()
    thread = bench.hear(run_id)
    eventually(lambda: bench.echo.performed)
    bench.store.delete(run_id[:-2])
    thread.join(10)
    assert not thread.is_alive()
    assert bench.store.list(limit=9)[1:] == (None, 0)


def test_a_stop_that_comes_too_late_does_not_change_a_result(bench: Bench) -> None:
    run_id = bench.task()
    bench.worker.hear(run_id)
    assert bench.store.stop(run_id[:-2]) == (S.SUCCEEDED, S.SUCCEEDED)
    assert bench.run(run_id).result == 1


def test_a_run_taken_from_a_worker_is_broken_off_there_and_its_outcome_dropped(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = bench.task(**wait(30))
    thread = bench.hear(run_id)
    eventually(lambda: bench.status(run_id) is S.RUNNING)
    run_out(bench.store)
    assert bench.store.reap(9) == [(run_id, "queued")]
    other = bench.store.claim("other", ["echo"], run_id)
    assert not isinstance(other, str)
    assert other is not None
    bench.worker.start()
    thread.join(10)
    assert not thread.is_alive()
    assert "taken from this worker" in caplog.text
    run = bench.run(run_id)
    assert (run.status, run.worker, run.attempt) == (S.RUNNING, "other", 2)


def test_two_attempts_of_one_run_are_told_apart(bench: Bench) -> None:
    run_id = bench.task(**wait(30), losses=2)
    first = bench.hear(run_id)
    eventually(lambda: bench.status(run_id) is S.RUNNING)
    run_out(bench.store)
    bench.store.reap(10)
    bench.hear(run_id)
    eventually(lambda: bench.run(run_id).attempt == 2)
    bench.worker._pulse()
    first.join(10)
    assert not first.is_alive()
    run_out(bench.store)
    bench.worker._pulse()
    assert bench.store.reap(10) == []
    assert (bench.status(run_id), bench.run(run_id).attempt) == (S.RUNNING, 2)


def test_a_heartbeat_keeps_the_lease(bench: Bench) -> None:
    run_id = bench.task(**wait(30))
    bench.running(run_id)
    run_out(bench.store)
    bench.worker.start()
    leases = "{tms}:leases"
    eventually(lambda: float(bench.store._redis.command("ZSCORE", leases, run_id)) > 1)
    assert bench.store.reap(9) == []


def test_a_heartbeat_tells_of_the_worker_and_rings_for_what_waits(bench: Bench) -> None:
    waiting = bench.task()
    bench.worker.start()
    eventually(lambda: bench.store.health(["echo"])["workers"])
    (told,) = bench.store.health(["echo"])["workers"]
    assert (told["id"], told["running"], told["stopping"]) == (bench.worker.name, 0, False)
    assert told["started_at"].endswith("Z")
    bench.store._redis.command("HSET", f"{{tms}}:run:{waiting}", "queued", 1)
    eventually(lambda: waiting in bench.rung, 20)


# --- the end -----------------------------------------------------------------------------------------------------


def test_a_draining_worker_takes_nothing_new_and_lets_its_runs_finish(make: Make) -> None:
    bench = make(grace_seconds=20)
    run_id, waiting = bench.task(**wait(0.4)), bench.task(spec={"echo": "waiting"})
    bench.running(run_id)
    bench.worker.drain()
    bench.worker.drain()
    bench.worker.hear(waiting)
    eventually(lambda: bench.status(run_id) is S.SUCCEEDED)
    assert bench.status(waiting) is S.QUEUED
    assert "waiting" not in bench.echo.performed
    eventually(lambda: bench.echo.closed)
    assert (bench.left, bench.store.health(["echo"])["workers"]) == ([], [])


def test_what_still_runs_after_the_grace_time_is_given_back(bench: Bench) -> None:
    run_id = bench.task(**wait(30))
    bench.running(run_id)
    bench.worker.drain()
    eventually(lambda: bench.status(run_id) is S.QUEUED)
    run = bench.run(run_id)
    assert [(attempt["status"], attempt["code"]) for attempt in run.attempts] == [("stopped", "worker_shutdown")]
    assert bench.left == []


def test_what_may_not_be_done_again_is_lost_after_the_grace_time_and_says_so(bench: Bench) -> None:
    run_id = bench.task("once", losses=0, **wait(30))
    bench.running(run_id)
    bench.worker.drain()
    eventually(lambda: bench.status(run_id) is S.LOST)
    assert bench.run(run_id).reason == "worker_shutdown"


def test_a_run_claimed_just_before_the_grace_time_ended_is_broken_off_too(make: Make) -> None:
    bench = make(grace_seconds=0)
    run_id = bench.task(**wait(30))
    bench.running(run_id)
    bench.worker.drain()
    eventually(lambda: bench.status(run_id) is S.QUEUED)


def test_a_thread_that_hears_nothing_makes_the_worker_leave_without_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.worker.LAST_BREATH", 0.3)
    run_id = bench.task("deaf")
    bench.running(run_id)
    bench.worker.drain()
    eventually(lambda: bench.left == [STUCK])
    assert bench.status(run_id) is S.RUNNING
    run_out(bench.store)
    assert bench.store.reap(9) == [(run_id, "queued")]


def test_a_run_far_beyond_its_deadline_makes_the_worker_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.worker.OVERRUN", 0.1)
    monkeypatch.setattr("tasks.worker.LAST_BREATH", 0.3)
    run_id, fine = bench.task("deaf", timeout=0.1), bench.task(**wait(30))
    bench.running(fine)
    bench.running(run_id)
    bench.worker.start()
    eventually(lambda: bench.left == [STUCK])
    assert bench.status(fine) is S.QUEUED


def test_a_closed_worker_is_off_the_list_and_closing_twice_is_fine(bench: Bench) -> None:
    bench.worker.prepare()
    bench.worker.start()
    bench.worker.start()
    eventually(lambda: bench.store.health(["echo"])["workers"])
    bench.worker.close()
    bench.worker.close()
    assert bench.store.health(["echo"])["workers"] == []
    assert [(kind.prestarted, kind.closed) for kind in (bench.echo, bench.once)] == [(1, 1), (1, 1)]


class LateStore(Store):
    """A Store whose heartbeats, once told so, are on their way for as long as the test says."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout=5)
        self.late, self.on_its_way, self.arrive = threading.Event(), threading.Event(), threading.Event()

    def heartbeat(self, *said: Any, **more: Any) -> Pulse:
        if self.late.is_set():
            self.on_its_way.set()
            assert self.arrive.wait(10)
        return super().heartbeat(*said, **more)


def test_a_heartbeat_under_way_does_not_put_a_closed_worker_on_the_list_again(
    make: Make, store: Store, redis_url: str
) -> None:
    late = LateStore(redis_url)
    bench = make(late)
    bench.worker.start()
    eventually(lambda: store.health(["echo"])["workers"])
    late.late.set()
    assert late.on_its_way.wait(10)
    closing = [threading.Thread(target=bench.worker.close) for _ in range(2)]
    for each in closing:
        each.start()
        each.join(0.3)
    # The second is who ends the process: neither is through before this worker is off the list.
    assert [each.is_alive() for each in closing] == [True, True]
    late.arrive.set()
    for each in closing:
        each.join(10)
    pulse = bench.worker._pulse_thread
    assert pulse is not None
    pulse.join(10)
    assert store.health(["echo"])["workers"] == []
    late.close()


def test_two_workers_of_one_machine_have_different_names(make: Make) -> None:
    assert make().worker.name != make().worker.name


# --- Redis goes away ---------------------------------------------------------------------------------------------


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    with Valkey(tmp_path / "redis") as valkey:
        yield valkey


@pytest.fixture
def own_store(valkey: Valkey) -> Iterator[Store]:
    store = Store(valkey.url, timeout=2)
    yield store
    store.close()


def test_a_bell_without_redis_is_dropped_and_the_worker_lives(
    make: Make, valkey: Valkey, own_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make(own_store)
    run_id = bench.task()
    valkey.kill()
    bench.worker.hear(run_id)
    assert "not claimed" in caplog.text
    valkey.start()
    bench.worker.hear(run_id)
    assert bench.status(run_id) is S.SUCCEEDED


@pytest.mark.parametrize("kind", ["echo", "once"])
def test_a_claim_whose_answer_was_missed_is_undone_and_the_run_is_done_once(
    make: Make, valkey: Valkey, own_store: Store, kind: str
) -> None:
    bench = make(own_store)
    run_id = bench.task(kind)
    own_store.claim("w0", [kind], "none")  # or Redis does not know the script and asks for it, which nobody hears
    valkey.freeze()
    bench.worker.hear(run_id)
    valkey.thaw()  # and only now Redis reads the claim
    eventually(lambda: bench.status(run_id) is S.RUNNING)
    bench.worker.start()
    eventually(lambda: run_id in bench.rung, seconds=20)
    bench.worker.hear(run_id)
    run = bench.run(run_id)
    assert (run.status, run.attempt, run.attempts) == (S.SUCCEEDED, 1, ())
    assert (bench.echo.performed or bench.once.performed) == [1 if kind == "echo" else None]


def test_a_worker_with_an_outcome_that_redis_will_not_hear_of_is_not_stuck(
    make: Make, valkey: Valkey, own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.worker.OVERRUN", 0.1)
    bench = make(own_store)
    run_id = bench.task(timeout=0.3, **wait(0.2))
    bench.running(run_id)
    valkey.kill()
    time.sleep(1.5)  # past the deadline, and between two tries to record
    valkey.start()
    eventually(lambda: _pulsed(bench))
    assert not bench.worker._draining.is_set()
    eventually(lambda: bench.status(run_id) is S.SUCCEEDED)


def _pulsed(bench: Bench) -> bool:
    with contextlib.suppress(StoreUnavailable):
        bench.worker._pulse()
        return True
    return False


def test_a_run_is_not_claimed_along_with_an_outcome_soon_after_an_answer_was_missed(
    make: Make, valkey: Valkey, own_store: Store
) -> None:
    bench = make(own_store)
    first, second = bench.task(), bench.task()
    valkey.kill()
    bench.worker.hear(first)
    valkey.start()
    bench.worker.hear(first)
    assert (bench.status(first), bench.status(second)) == (S.SUCCEEDED, S.QUEUED)


def test_an_outcome_is_recorded_once_redis_is_back(make: Make, valkey: Valkey, own_store: Store) -> None:
    bench = make(own_store)
    run_id = bench.task(**wait(0.3))
    thread = bench.hear(run_id)
    eventually(lambda: bench.echo.performed)
    valkey.kill()
    time.sleep(0.6)
    assert thread.is_alive()
    valkey.start()
    thread.join(15)
    assert (bench.status(run_id), bench.run(run_id).result) == (S.SUCCEEDED, 1)
    assert bench.echo.performed == [1]


def test_a_heartbeat_goes_on_without_redis_and_returns_with_it(
    make: Make, valkey: Valkey, own_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make(own_store)
    bench.worker.start()
    eventually(lambda: own_store.health([])["workers"])
    valkey.kill()
    eventually(lambda: "goes on without Redis" in caplog.text)
    valkey.start()
    eventually(lambda: "has Redis again" in caplog.text)
    eventually(lambda: own_store.health([])["workers"])
    assert caplog.text.count("goes on without Redis") == 1


def test_a_worker_that_closes_without_redis_gives_up_what_it_could_not_record(
    make: Make, valkey: Valkey, own_store: Store
) -> None:
    bench = make(own_store)
    run_id = bench.task(**wait(0.2))
    ended: list[str] = []

    def hear() -> None:
        try:
            bench.worker.hear(run_id)
        except Exception as error:  # noqa: BLE001 - which one is what the test asks
            ended.append(type(error).__name__)

    thread = threading.Thread(target=hear, daemon=True)
    thread.start()
    eventually(lambda: bench.echo.performed)
    valkey.kill()
    bench.worker.close()
    thread.join(15)
    assert ended == ["StoreUnavailable"]
    assert bench.echo.closed == 1
    valkey.start()
    run_out(own_store)
    assert own_store.reap(9) == [(run_id, "queued")]
