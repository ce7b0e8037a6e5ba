"""A Redis that runs full in the middle of anything: each script does all of its work or none of it.

Redis refuses commands that need memory while it is full, but not those that free some, and does not undo what a script
did before it was refused. A script that first takes a run out of a queue and is then refused would lose it. So what
makes more data (submit, claim, fire, finish) waits until there is room, and what makes room, ends something or keeps
a lease goes on.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tasks.errors import StoreUnavailable
from tasks.model import Status
from tasks.store import Receipt, Store, scripts
from tests.make import NOW, client_of, end, end_earlier, everything, fire, fire_as_seen, keys, run_out, submit, take
from tests.valkey import Valkey

S = Status
Verb = Callable[[], Any]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Valkey(tmp_path_factory.mktemp("full")) as server:
        yield server.url


@pytest.fixture
def full(url: str) -> Iterator[Store]:
    """A Store on a Redis that is going to be full."""
    store = Store(url, timeout=5)
    store._redis.command("FLUSHALL")
    yield store
    store.close()


def claim_named(store: Store) -> Verb:
    task = submit(store)
    return lambda: store.claim("w1", ["code"], f"{task.id}.1")


def claim_next(store: Store) -> Verb:
    submit(store)
    return lambda: store.claim("w1", ["code"])


def claim_expired(store: Store) -> Verb:
    task = submit(store, expires_in=0.001)
    store._redis.command("HSET", f"{{tms}}:run:{task.id}.1", "due", 1)
    return lambda: store.claim("w1", ["code"])


def claim_again(store: Store) -> Verb:
    due_retry(store)()
    return lambda: store.claim("w1", ["code"])


def finish(store: Store) -> Verb:
    submit(store)
    submit(store)
    claim = take(store)
    return lambda: store.finish(claim, "w1", status=S.SUCCEEDED, reason="", outcome={}, next_kind="code")


def finish_to_retry(store: Store) -> Verb:
    submit(store)
    claim = take(store)
    return lambda: end(store, claim, status=S.FAILED, reason="x", retry_after=0)


def finish_of_another_and_take_the_next(store: Store) -> Verb:
    submit(store)
    submit(store)
    claim = take(store)
    return lambda: store.finish(claim, "w2", status=S.SUCCEEDED, reason="", outcome={}, next_kind="code")


def give_back(store: Store) -> Verb:
    submit(store)
    claim = take(store)
    return lambda: store.give_back(claim, "w1", {})


def heartbeat(store: Store) -> Verb:
    submit(store)
    claim = take(store)
    return lambda: store.heartbeat("w1", {}, {}, [claim])


def unclaim(store: Store) -> Verb:
    submit(store)
    claim = take(store)
    store._redis.command("ZINCRBY", "{tms}:leases", -4000, claim.run_id)
    return lambda: store.unclaim("w1", [])


def due_delayed(store: Store) -> Verb:
    submit(store, task_type="delayed", delay=0)
    return lambda: store.due(10)


def due_retry(store: Store) -> Verb:
    finish_to_retry(store)()
    return lambda: store.due(10)


def reap_repeatable(store: Store) -> Verb:
    submit(store)
    take(store)
    run_out(store)
    return lambda: store.reap(10)


def reap_lost(store: Store) -> Verb:
    submit(store, losses=0)
    take(store)
    run_out(store)
    return lambda: store.reap(10)


def reap_stopping(store: Store) -> Verb:
    task = submit(store)
    take(store)
    store.stop(task.id)
    run_out(store)
    return lambda: store.reap(10)


def tick(store: Store) -> Verb:
    return store.tick


def stop_queued(store: Store) -> Verb:
    task = submit(store)
    return lambda: store.stop(task.id)


def stop_delayed(store: Store) -> Verb:
    task = submit(store, task_type="delayed")
    return lambda: store.stop(task.id)


def stop_running(store: Store) -> Verb:
    task = submit(store)
    take(store)
    return lambda: store.stop(task.id)


def stop_schedule(store: Store) -> Verb:
    task = submit(store, task_type="scheduled", next_run_at=1)
    return lambda: store.stop(task.id)


def stop_busy_schedule(store: Store) -> Verb:
    task = submit(store, task_type="scheduled", next_run_at=1)
    fire(store, task, overlap="queue", fire=(1, 2, 3))
    take(store)
    return lambda: store.stop(task.id)


def firing(store: Store, **how: Any) -> Verb:
    submit(store, task_type="scheduled", next_run_at=1)
    (seen,) = store.due(10).schedules
    return lambda: fire_as_seen(store, seen, **{"next_due": 5, "overlap": "queue", "fire": (1, 2), **how})


def fire_some(store: Store) -> Verb:
    return firing(store)


def fire_the_last(store: Store) -> Verb:
    return firing(store, next_due=None, fire=())


def fire_none(store: Store) -> Verb:
    return firing(store, fire=())


def resume(store: Store) -> Verb:
    task = submit(store, task_type="scheduled", next_run_at=1)
    store.pause(task.id)
    return lambda: store.resume(task, next_due=5, skip=(1,), missed=2)


def run_now(store: Store) -> Verb:
    task = submit(store, task_type="scheduled")
    return lambda: store.run_now(task.id, "skip")


def run_delayed_now(store: Store) -> Verb:
    task = submit(store, task_type="delayed")
    return lambda: store.run_now(task.id, "")


def edit(store: Store) -> Verb:
    task = submit(store, task_type="scheduled", tags=("old",))
    changed = dataclasses.replace(task, tags=("new",), next_run_at=NOW * 2)
    return lambda: store.edit(changed, revision=1, losses=0, seen_due=NOW, delay=None)


def open_receipt(store: Store) -> Verb:
    return lambda: store.receipts.open("r", fingerprint="f", token="t")


def close_receipt(store: Store) -> Verb:
    receipt = store.receipts.open("r", fingerprint="f", token="t")
    assert isinstance(receipt, Receipt)
    return lambda: store.receipts.close(receipt, "answer")


def pause(store: Store) -> Verb:
    task = submit(store, task_type="scheduled")
    return lambda: store.pause(task.id)


WAITS = [
    *(claim_named, claim_next, claim_expired, claim_again),
    *(finish, finish_to_retry, finish_of_another_and_take_the_next),
    *(due_delayed, due_retry, fire_some, fire_the_last, fire_none),
    *(resume, run_now, run_delayed_now, edit),
    *(open_receipt, close_receipt),
]
GOES_ON = [
    *(give_back, heartbeat, unclaim, reap_repeatable, reap_lost, reap_stopping),
    *(stop_queued, stop_delayed, stop_running, stop_schedule, stop_busy_schedule),
    *(pause, tick),
]


@contextmanager
def no_room(url: str) -> Iterator[None]:
    with client_of(url) as client:
        client.config_set("maxmemory", "1")
        try:
            yield
        finally:
            client.config_set("maxmemory", "0")


@pytest.mark.parametrize("situation", WAITS, ids=lambda situation: situation.__name__)
def test_a_full_redis_changes_nothing_and_the_verb_works_once_there_is_room(
    full: Store, url: str, situation: Callable[[Store], Verb]
) -> None:
    verb = situation(full)
    before = everything(full)
    with no_room(url), pytest.raises(StoreUnavailable, match="OOM"):
        verb()
    assert everything(full) == before
    verb()
    assert everything(full) != before


@pytest.mark.parametrize("situation", GOES_ON, ids=lambda situation: situation.__name__)
def test_a_full_redis_still_ends_things_and_keeps_leases(
    full: Store, url: str, situation: Callable[[Store], Verb]
) -> None:
    verb = situation(full)
    before = everything(full)
    with no_room(url):
        verb()
    assert everything(full) != before


def test_every_script_says_what_it_does_while_redis_is_full() -> None:
    for script in scripts.FOLDER.glob("*.lua"):
        first = script.read_text(encoding="utf-8").splitlines()[0]
        assert script.stem in ("records", "accounts") or re.fullmatch(r"#!lua( flags=(allow-oom|no-writes))?", first), (
            script
        )


def test_a_full_redis_still_answers_and_deleting_gives_room(full: Store, url: str) -> None:
    tasks = [submit(full), submit(full, task_type="scheduled", next_run_at=1)]
    claim = take(full)
    with no_room(url):
        assert full.list(limit=5)[2] == 2
        assert full.health(["code"])["queues"]["running"] == 1
        for task in tasks:
            assert full.get(task.id).id == task.id
            assert full.runs(task.id, limit=5)[2] == len(full.runs(task.id, limit=5)[0])
            full.delete(task.id)
        assert full.list(limit=5)[2] == 0
    assert keys(full) == set()
    assert not end(full, claim)


def test_a_full_redis_is_pruned(full: Store, url: str) -> None:
    submit(full)
    end(full, take(full))
    end_earlier(full, full.list(limit=1)[0][0].id, 10_000)
    with no_room(url):
        assert full.prune(1, 10) == 1
    assert keys(full) == set()
