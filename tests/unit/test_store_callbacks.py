"""The news that a run ended is owed in the step that ends it, whichever that is, and is never lost on its way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from tasks.model import FINISHED, Callback, Status, Task
from tasks.store import Store
from tasks.store.deliveries import Delivery, DeliveryLog, DeliveryStatus
from tests.make import end, fire, keys, run_out, submit, take

S, D = Status, DeliveryStatus
ALL = tuple(FINISHED)
CALLBACK = Callback(url="https://Hooks.example.com:8443/tasks?x=1", events=ALL)
Ending = Callable[[Store], Task]


def owed(store: Store, **over: Any) -> Task:
    return submit(store, **{"callback": CALLBACK, **over})


def log_of(store: Store, task: Task) -> list[DeliveryLog]:
    return list(store.deliveries.list(task.id, limit=100)[0])


def claim(store: Store, **over: Any) -> Delivery | None:
    return store.deliveries.claim(**{"lease": 30_000, "most": 3, "busy": (), "busy_owners": (), **over})


def claimed(store: Store, **over: Any) -> Delivery:
    delivery = claim(store, **over)
    assert delivery is not None
    return delivery


def let_time_pass(store: Store) -> None:
    """Let every delivery be due, and every claim of one run out."""
    for key in sorted(store._redis.command("KEYS", "{tms}:callbacks*")):
        for member in store._redis.command("ZRANGE", key, 0, -1):
            store._redis.command("ZADD", key, 1, member)


def finished(status: Status) -> Ending:
    def do(store: Store) -> Task:
        task = owed(store)
        end(store, take(store), status=status)
        return task

    return do


def stopped_while_it_waited(store: Store) -> Task:
    task = owed(store, task_type="delayed")
    store.stop(task.id)
    return task


def stopped_while_it_ran(store: Store) -> Task:
    task = owed(store)
    held = take(store)
    store.stop(task.id)
    end(store, held)
    return task


def stopped_with_its_worker_gone(store: Store) -> Task:
    task = owed(store)
    take(store)
    store.stop(task.id)
    run_out(store)
    store.reap(10)
    return task


def lost_with_its_worker(store: Store) -> Task:
    task = owed(store, losses=0)
    take(store)
    run_out(store)
    store.reap(10)
    return task


def given_back_for_good(store: Store) -> Task:
    task = owed(store, losses=0)
    store.give_back(take(store), "w1", {})
    return task


def expired_when_claimed(store: Store) -> Task:
    task = owed(store, expires_in=0.001)
    store._redis.command("HSET", f"{{tms}}:run:{task.id}.1", "due", 1)
    assert store.claim("w1", ["code"], f"{task.id}.1") is None
    return task


def skipped_by_beat(store: Store) -> Task:
    task = owed(store, task_type="scheduled", next_run_at=1)
    fire(store, task, fire=(), skip=(1,))
    return task


def skipped_when_resumed(store: Store) -> Task:
    task = owed(store, task_type="scheduled", next_run_at=1)
    store.pause(task.id)
    store.resume(task, next_due=2**41, skip=(1,), missed=0)
    return task


ENDINGS: dict[Ending, Status] = {
    finished(S.SUCCEEDED): S.SUCCEEDED,
    finished(S.FAILED): S.FAILED,
    finished(S.TIMED_OUT): S.TIMED_OUT,
    stopped_while_it_waited: S.STOPPED,
    stopped_while_it_ran: S.STOPPED,
    stopped_with_its_worker_gone: S.STOPPED,
    lost_with_its_worker: S.LOST,
    given_back_for_good: S.LOST,
    expired_when_claimed: S.EXPIRED,
    skipped_by_beat: S.SKIPPED,
    skipped_when_resumed: S.SKIPPED,
}


@pytest.mark.parametrize(("ending", "status"), ENDINGS.items())
def test_every_step_that_ends_a_run_owes_its_news(store: Store, ending: Ending, status: Status) -> None:
    assert not store.heartbeat("w1", {}, {}, []).callbacks
    task = ending(store)
    (log,) = log_of(store, task)
    assert (log.run_status, log.status, log.tries_made) == (status, D.WAITING, 0)
    assert store.heartbeat("w1", {}, {}, []).callbacks
    delivery = claimed(store)
    assert (delivery.run.id, delivery.run.status, delivery.callback) == (f"{task.id}.1", status, CALLBACK)
    assert (delivery.owner, delivery.receiver) == ("anonymous", "anonymous https://hooks.example.com:8443")
    assert (delivery.task_type, delivery.kind, delivery.name) == (task.task_type, "code", task.name)
    assert claim(store) is None


def test_the_endings_are_all_there_are() -> None:
    assert set(ENDINGS.values()) == FINISHED


def test_only_the_events_that_were_asked_for_are_told(store: Store) -> None:
    owed(store, callback=Callback(url="https://a.example/", events=(S.FAILED, S.LOST)))
    end(store, take(store), status=S.SUCCEEDED)
    submit(store)
    end(store, take(store), status=S.FAILED)
    assert claim(store) is None
    assert not {key for key in keys(store) if "callback" in key}


def test_a_retry_is_no_end(store: Store) -> None:
    task = owed(store)
    end(store, take(store), status=S.FAILED, reason="x", retry_after=0)
    assert log_of(store, task) == []
    store.due(10)
    end(store, take(store), status=S.FAILED)
    assert len(log_of(store, task)) == 1


def test_a_delivery_is_claimed_once_until_its_claim_runs_out(store: Store) -> None:
    task = owed(store)
    end(store, take(store))
    first = claimed(store)
    assert (first.number, first.round) == (1, 1)
    assert claim(store) is None
    let_time_pass(store)
    second = claimed(store)
    assert (second.number, second.round) == (2, 2)
    assert not store.deliveries.delivered(first, {"status_code": 200})
    assert store.deliveries.delivered(second, {"status_code": 200, "duration": 0.1, "error": None})
    (log,) = log_of(store, task)
    assert (log.status, log.due_at, log.tries_made) == (D.DELIVERED, None, 2)
    assert [(one["number"], one.get("error"), one.get("status_code")) for one in log.tries] == [
        (1, "worker_lost", None),
        (2, None, 200),
    ]
    let_time_pass(store)
    assert claim(store) is None
    assert not store.deliveries.again(second, 0, {})


def test_one_that_kills_its_workers_is_given_up(store: Store) -> None:
    task = owed(store)
    end(store, take(store))
    for _ in range(3):
        claimed(store, most=3)
        let_time_pass(store)
    assert claim(store, most=3) is None
    (log,) = log_of(store, task)
    assert (log.status, log.reason, len(log.tries)) == (D.FAILED, "worker_lost", 3)


def test_a_further_try_is_due_after_its_pause_and_a_released_one_at_once(store: Store) -> None:
    task = owed(store)
    end(store, take(store))
    assert store.deliveries.again(claimed(store), 60_000, {"status_code": 500})
    assert claim(store) is None
    assert not store.heartbeat("w1", {}, {}, []).callbacks
    let_time_pass(store)
    assert store.deliveries.release(claimed(store))
    assert claimed(store).number == 2
    assert [one["number"] for one in log_of(store, task)[0].tries] == [1]


def test_busy_receivers_and_owners_are_passed_over(store: Store) -> None:
    for owner, url in (("olga", "http://a/"), ("olga", "http://b/"), ("stefan", "http://a/")):
        owed(store, owner=owner, callback=Callback(url=url, events=ALL))
        end(store, take(store))
    assert claim(store, busy=["olga http://a", "olga http://b", "stefan http://a"]) is None
    assert claim(store, busy_owners=["olga", "stefan"]) is None
    assert claimed(store, busy=["olga http://a"], busy_owners=["stefan"]).receiver == "olga http://b"
    assert claimed(store, busy_owners=["olga"]).receiver == "stefan http://a"
    assert claimed(store).receiver == "olga http://a"


def test_one_who_has_very_many_receivers_holds_up_no_others(store: Store) -> None:
    for number in range(300):
        owed(store, owner="olga", callback=Callback(url=f"http://{number}.a/", events=ALL))
        end(store, take(store))
    owed(store, owner="stefan", callback=Callback(url="http://b/", events=ALL))
    end(store, take(store))
    assert claimed(store, busy_owners=["olga"]).owner == "stefan"
    assert claim(store, busy_owners=["olga"]) is None
    assert claimed(store, busy=["olga http://0.a"]).owner == "olga"


def test_a_removed_callback_is_not_delivered_and_a_changed_one_where_it_goes_now(store: Store) -> None:
    task = owed(store, task_type="scheduled", next_run_at=1)
    for due in (1, 2):
        fire(store, task, fire=(due,), next_due=due + 1)
        end(store, take(store))

    def edit(revision: int, callback: Callback | None) -> None:
        changed = dataclasses.replace(task, callback=callback)
        assert store.edit(changed, revision=revision, losses=2, seen_due=None, delay=None)

    elsewhere = Callback(url="https://elsewhere.example/", events=(S.LOST,))
    edit(1, elsewhere)
    assert claimed(store).callback == elsewhere
    edit(2, None)
    assert store.get(task.id).callback is None
    let_time_pass(store)
    assert claim(store) is None
    assert {(log.status, log.reason) for log in log_of(store, task)} == {(D.FAILED, "callback_removed")}
    assert store.deliveries.deliver_again(f"{task.id}.1") == "none"


def test_what_was_delivered_or_given_up_can_be_delivered_again(store: Store) -> None:
    task = owed(store)
    run_id = f"{task.id}.1"
    assert store.deliveries.deliver_again(run_id) is None
    end(store, take(store))
    assert store.deliveries.deliver_again(run_id) == "due"
    delivery = claimed(store)
    assert store.deliveries.deliver_again(run_id) == "due"
    assert claim(store) is None, "the try goes on, and no other beside it"
    store.deliveries.failed(delivery, "gone", {"status_code": 410})
    assert store.deliveries.deliver_again(run_id) == "due"
    again = claimed(store)
    assert (again.number, again.round) == (2, 1)
    store.deliveries.delivered(again, {"status_code": 200})
    (log,) = log_of(store, task)
    assert (log.status, log.reason, len(log.tries)) == (D.DELIVERED, None, 2)


def test_tries_are_kept_up_to_a_bound(store: Store) -> None:
    task = owed(store)
    end(store, take(store))
    for _ in range(60):
        store.deliveries.again(claimed(store, most=100), 0, {"status_code": 500})
    (log,) = log_of(store, task)
    assert [one["number"] for one in log.tries] == list(range(11, 61))


def test_the_log_is_read_page_by_page(store: Store) -> None:
    task = owed(store, task_type="scheduled", next_run_at=1)
    for due in range(1, 6):
        fire(store, task, fire=(due,), next_due=due + 1)
        end(store, take(store))
    first, following, total = store.deliveries.list(task.id, limit=2)
    assert ([log.run_id[-2:] for log in first], following, total) == ([".5", ".4"], 4, 5)
    rest, following, _ = store.deliveries.list(task.id, limit=3, below=following)
    assert ([log.run_id[-2:] for log in rest], following) == ([".3", ".2", ".1"], None)


def test_history_waits_for_news_that_has_not_arrived(store: Store) -> None:
    task = owed(store, task_type="scheduled", next_run_at=1, history=1)
    for due in range(1, 5):
        fire(store, task, fire=(due,), next_due=due + 1)
        end(store, take(store))
    assert len(log_of(store, task)) == store.runs(task.id, limit=10)[2] == 4
    for _ in range(4):
        store.deliveries.delivered(claimed(store), {"status_code": 200})
    fire(store, task, fire=(5,), next_due=6)
    assert [log.run_id[-2:] for log in log_of(store, task)] == []
    assert store.runs(task.id, limit=10)[2] == 1


def test_of_much_news_that_nobody_takes_the_oldest_is_dropped(store: Store) -> None:
    task = owed(store, task_type="scheduled", next_run_at=1, history=1)
    fire(store, task, fire=(), skip=tuple(range(1, 1105)))
    _, _, total = store.deliveries.list(task.id, limit=1)
    assert total == store.runs(task.id, limit=1)[2] == 1001
    assert store.counters.read(0).callbacks["dropped"] == 103
    assert store.deliveries.list(task.id, limit=1, below=105)[0][0].run_id == f"{task.id}.104"
    assert store.deliveries.list(task.id, limit=1, below=104)[0] == []
    store.delete(task.id)
    assert store.counters.read(0).callbacks == {"tries": 0, "delivered": 0, "failed": 0, "dropped": 1104}


@pytest.mark.parametrize("state", ["waiting", "claimed", "delivered"])
def test_a_deleted_task_leaves_nothing(store: Store, state: str) -> None:
    task = owed(store)
    end(store, take(store))
    if state != "waiting":
        delivery = claimed(store)
        if state == "delivered":
            store.deliveries.delivered(delivery, {"status_code": 200})
    store.delete(task.id)
    assert keys(store) == set()
    if state == "claimed":
        assert not store.deliveries.again(delivery, 0, {})
        assert keys(store) == set()
    assert claim(store) is None


def test_what_becomes_of_callbacks_is_counted(store: Store) -> None:
    for _ in range(3):
        owed(store)
        end(store, take(store))
    store.deliveries.again(claimed(store), 0, {})
    store.deliveries.failed(claimed(store), "gone", {})
    store.deliveries.delivered(claimed(store), {})
    assert store.counters.read(0).callbacks == {"tries": 3, "delivered": 1, "failed": 1, "dropped": 0}


def test_each_owner_has_a_generation_of_his_own(store: Store) -> None:
    assert (store.deliveries.generation("olga").number, store.deliveries.generation("olga").since) == (1, None)
    changed = store.deliveries.rotate("olga")
    assert (changed.number, changed.since is not None) == (2, True)
    assert store.deliveries.rotate("olga").number == 3
    assert store.deliveries.generation("stefan").number == 1
    owed(store, owner="olga")
    end(store, take(store))
    assert claimed(store).generation == store.deliveries.generation("olga")
