"""What the Store says when Redis is away, frozen, full, read-only or wants a password, and that it comes back."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tasks.errors import StoreUnavailable
from tasks.store import Batch, Claim, DueSchedule, Entry, Store
from tests.make import client_of, end, fire_as_seen, make_task, submit, take
from tests.valkey import Valkey

ID = "00000000-0000-7000-8000-000000000000"
CLAIM = Claim(run_id=f"{ID}.1", kind="code", attempt=1, started_at=1, about={}, spec={})
SCHEDULE = DueSchedule(task_id=ID, due_at=1, status="scheduled", text="{}")
ENTRY = Entry(task=make_task(), delay=None, losses=1)
VERBS: dict[str, Callable[[Store], Any]] = {
    "submit": lambda store: store.submit(make_task(), delay=None, losses=1, history=1),
    "get": lambda store: store.get(ID),
    "submit_all": lambda store: store.submit_all(Batch(entries=[ENTRY], owner="o", history=1)),
    "submit_each": lambda store: store.submit_each([Batch(entries=[ENTRY], owner="o", history=1)] * 2),
    "list": lambda store: store.list(limit=5),
    "runs": lambda store: store.runs(ID, limit=5),
    "owner": lambda store: store.owner(ID),
    "stop": lambda store: store.stop(ID),
    "pause": lambda store: store.pause(ID),
    "resume": lambda store: store.resume(make_task(task_type="scheduled"), next_due=None, skip=(), missed=0),
    "run_now": lambda store: store.run_now(ID, "skip"),
    "edit": lambda store: store.edit(make_task(), revision=1, losses=0, seen_due=None, delay=None),
    "delete": lambda store: store.delete(ID),
    "health": lambda store: store.health(["code"]),
    "claim": lambda store: store.claim("w1", ["code"], f"{ID}.1"),
    "finish": lambda store: end(store, CLAIM),
    "give_back": lambda store: store.give_back(CLAIM, "w1", {}),
    "heartbeat": lambda store: store.heartbeat("w1", {}, {}, []),
    "unclaim": lambda store: store.unclaim("w1", []),
    "await_call": lambda store: store.await_call("w1", 0.1),
    "leave": lambda store: store.leave("w1"),
    "due": lambda store: store.due(5),
    "fire": lambda store: fire_as_seen(store, SCHEDULE),
    "upcoming": lambda store: store.upcoming(1, 2, offset=0, limit=5),
    "tick": lambda store: store.tick(),
    "await_wake": lambda store: store.await_wake(0.1),
    "reap": lambda store: store.reap(5),
    "prune": lambda store: store.prune(60, 5),
    "push": lambda store: store.push("{tms}:bell:runs", ["message"]),
}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Valkey]:
    with Valkey(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def own_store(own: Valkey) -> Iterator[Store]:
    store = Store(own.url, timeout=0.5)
    yield store
    store.close()


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_says_so_when_nothing_listens(name: str) -> None:
    store = Store("redis://127.0.0.1:1/0", timeout=0.5)
    with pytest.raises(StoreUnavailable, match="Redis does not answer"):
        VERBS[name](store)
    store.close()


def test_every_verb_of_the_store_is_in_that_list() -> None:
    public = {name for name, value in vars(Store).items() if callable(value) and not name.startswith("_")}
    assert public - {"close"} == VERBS.keys()


def test_a_frozen_redis_is_given_up_after_the_timeout_and_used_again_when_it_answers(
    own: Valkey, own_store: Store
) -> None:
    task = submit(own_store)
    own.freeze()
    start = time.monotonic()
    with pytest.raises(StoreUnavailable):
        own_store.get(task.id)
    assert time.monotonic() - start < 5
    own.thaw()
    assert own_store.get(task.id).id == task.id


def test_what_was_accepted_survives_a_kill_and_the_connection_comes_back_by_itself(
    own: Valkey, own_store: Store
) -> None:
    task = submit(own_store)
    claim = take(own_store)
    own.kill()
    with pytest.raises(StoreUnavailable):
        own_store.get(task.id)
    own.start()
    assert own_store.get(task.id).last_run is not None
    assert end(own_store, claim)


def test_a_restart_between_two_calls_is_not_even_noticed(own: Valkey, own_store: Store) -> None:
    task = submit(own_store)
    own.kill()
    own.start()
    # The pooled connection is dead, and the scripts are gone from the server's cache.
    assert own_store.get(task.id).id == task.id


def test_a_full_redis_is_unavailable_for_writing_and_stores_nothing(own: Valkey, own_store: Store) -> None:
    kept = submit(own_store)
    with client_of(own.url) as client:
        client.config_set("maxmemory", "1")
        with pytest.raises(StoreUnavailable, match="cannot serve this now"):
            VERBS["submit"](own_store)
        client.config_set("maxmemory", "0")
    assert [task.id for task in own_store.list(limit=5)[0]] == [kept.id]
    submit(own_store)


def test_a_read_only_redis_is_unavailable(own: Valkey, own_store: Store) -> None:
    task = submit(own_store)
    with client_of(own.url) as client:
        client.replicaof("127.0.0.1", "1")
        for verb in (VERBS["submit"], VERBS["tick"], take, lambda store: store.stop(task.id)):
            with pytest.raises(StoreUnavailable, match="cannot serve this now"):
                verb(own_store)
        client.replicaof("NO", "ONE")
    assert own_store.get(task.id).id == task.id


@pytest.mark.parametrize("wait", [lambda store: store.await_wake(10), lambda store: store.await_call("w1", 10)])
def test_who_waits_while_redis_becomes_a_replica_is_told_that_it_is_unavailable(
    own: Valkey, wait: Callable[[Store], Any]
) -> None:
    patient = Store(own.url, timeout=20)
    told: list[BaseException] = []

    def listen() -> None:
        try:
            wait(patient)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
            told.append(error)

    waiting = threading.Thread(target=listen)
    waiting.start()
    with client_of(own.url) as client:
        deadline = time.monotonic() + 10
        while not client.info("clients")["blocked_clients"] and time.monotonic() < deadline:
            time.sleep(0.01)
        client.replicaof("127.0.0.1", "1")
        waiting.join(8)
        client.replicaof("NO", "ONE")
    assert [type(error) for error in told] == [StoreUnavailable]
    patient.close()


def test_a_redis_that_lost_its_replicas_is_unavailable(own: Valkey, own_store: Store) -> None:
    submit(own_store)
    with client_of(own.url) as client:
        client.config_set("min-replicas-to-write", "1")
        with pytest.raises(StoreUnavailable, match="cannot serve this now"):
            submit(own_store)


def test_a_missing_and_a_wrong_password_are_told_without_the_password(tmp_path: Path) -> None:
    with Valkey(tmp_path / "locked", "--requirepass", "correct horse") as locked:
        path = locked.url.removeprefix("unix://")
        for url in (locked.url, f"unix://:battery-staple@{path}"):
            store = Store(url, timeout=1)
            with pytest.raises(StoreUnavailable, match="refuses the password") as caught:
                store.get(ID)
            assert "staple" not in str(caught.value)
            store.close()


def test_a_mistake_of_ours_is_not_blamed_on_redis(store: Store) -> None:
    store._redis.command("SET", "{tms}:kinds", "not a set")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        store.list(limit=5)


def test_as_many_threads_as_there_are_slots_use_the_store_at_once(store: Store) -> None:
    task = submit(store)
    failures: list[BaseException] = []
    barrier = threading.Barrier(250)

    def use() -> None:
        barrier.wait()
        try:
            store.await_call("nobody", 0.3)
            store.get(task.id)
        except StoreUnavailable as error:
            failures.append(error)

    threads = [threading.Thread(target=use) for _ in range(250)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_connection_is_used_again_and_by_one_caller_at_a_time(own: Valkey) -> None:
    patient = Store(own.url, timeout=5)
    for _ in range(20):
        submit(patient)
    with client_of(own.url) as client:
        assert len(client.client_list()) == 2
        waiting = threading.Thread(target=patient.await_wake, args=(0.5,))
        waiting.start()
        deadline = time.monotonic() + 10
        while not client.info("clients")["blocked_clients"] and time.monotonic() < deadline:
            time.sleep(0.01)
        submit(patient)
        assert len(client.client_list()) == 3
        waiting.join()
        submit(patient)
        assert len(client.client_list()) == 3
    patient.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_leaves_the_connections_of_its_parent_alone(own: Valkey, own_store: Store) -> None:
    task = submit(own_store)
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            code = 0 if all(own_store.get(task.id).id == task.id for _ in range(50)) else 1
        os._exit(code)
    assert all(own_store.get(task.id).id == task.id for _ in range(50))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
