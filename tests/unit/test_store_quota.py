"""How many runs of one owner go at once, and whose turn it is: held back without holding up others, then let in."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tasks.model import Retry, Status, Task
from tasks.store import Claim, Store
from tasks.store.store import RING_AT_MOST
from tests.make import end, keys, run_out, submit, take

KINDS = ("code", "http")


def claim(store: Store, most: int | None = 2, run_id: str = "", kinds: tuple[str, ...] = KINDS) -> Claim | None:
    found = store.claim("w1", kinds, run_id, of_one_owner=most)
    assert not isinstance(found, str)
    return found


def owner_of(store: Store, found: Claim) -> str:
    return store.get(found.run_id.rpartition(".")[0]).owner


def many(store: Store, owner: str, number: int, **over: object) -> list[Task]:
    return [submit(store, owner=owner, **over) for _ in range(number)]


def numbers(store: Store, most: int | None = None) -> dict[str, int]:
    return dict(store.health(KINDS, of_one_owner=most)["queues"])


def counts(store: Store) -> set[str]:
    """The keys that tell who has what going, or held back."""
    return {key for key in keys(store) if key.startswith("{tms}:owner:") or key == "{tms}:held"}


def test_no_more_runs_of_one_owner_go_than_he_may_have_and_others_pass_them(store: Store) -> None:
    many(store, "olga", 5)
    late = many(store, "stefan", 1)
    found = [claim(store), claim(store), claim(store), claim(store)]
    assert [each and owner_of(store, each) for each in found] == ["olga", "stefan", "olga", None]
    assert found[1] is not None
    assert found[1].run_id == f"{late[0].id}.1"
    assert numbers(store, 2) == {"code": 0, "http": 0, "due": 0, "running": 3, "held": 3}


def test_the_end_of_a_run_lets_in_the_next_in_its_old_place(store: Store) -> None:
    tasks = many(store, "olga", 4)
    first, second = claim(store), claim(store)
    assert claim(store) is None
    assert first is not None
    assert second is not None
    urgent = submit(store, owner="olga", priority="high")
    assert claim(store, run_id=f"{urgent.id}.1") is None
    recorded, following = store.finish(
        first, "w1", status=Status.SUCCEEDED, reason="", outcome={}, next_kind="code", of_one_owner=2
    )
    assert (recorded, following and following.run_id) == (True, f"{urgent.id}.1")
    _, following = store.finish(
        second, "w1", status=Status.FAILED, reason="code_raised", outcome={}, next_kind="code", of_one_owner=2
    )
    assert following is not None
    assert following.run_id == f"{tasks[2].id}.1"


def test_a_bell_for_a_run_that_is_held_back_takes_another_ones(store: Store) -> None:
    mine = many(store, "olga", 3)
    submit(store, owner="stefan")
    assert claim(store, 1) is not None
    found = claim(store, 1, run_id=f"{mine[2].id}.1")
    assert found is not None
    assert owner_of(store, found) == "stefan"


def test_both_kinds_count_together_and_each_end_lets_in_one_of_each(store: Store) -> None:
    many(store, "olga", 2, kind="http", spec={"api_url": "http://x/"})
    many(store, "olga", 2)
    first = claim(store, 1)
    assert claim(store, 1) is None
    assert numbers(store, 1)["held"] == 3
    assert first is not None
    end(store, first)
    assert numbers(store, 1) == {"code": 1, "http": 2, "due": 0, "running": 0, "held": 0}
    assert len(store.heartbeat("w1", {}, {"code": 9, "http": 1}, [], of_one_owner=1).waiting) == 2
    assert claim(store, 1) is not None
    assert claim(store, 1) is None


@pytest.mark.parametrize("how", ["stop", "delete", "expire"])
def test_one_that_leaves_the_queue_otherwise_lets_in_the_next(store: Store, how: str) -> None:
    tasks = many(store, "olga", 3)
    first = claim(store, 1)
    assert first is not None
    assert claim(store, 1) is None
    end(store, first)
    let_in = tasks[1].id
    if how == "stop":
        store.stop(let_in)
    elif how == "delete":
        store.delete(let_in)
    else:
        store._redis.command("HSET", f"{{tms}}:task:{let_in}", "expires", "0")
        store._redis.command("HSET", f"{{tms}}:run:{let_in}.1", "due", "1")
    found = claim(store, 1)
    assert found is not None
    assert found.run_id == f"{tasks[2].id}.1"


@pytest.mark.parametrize("how", ["stop", "delete"])
def test_what_is_held_back_can_be_stopped_and_deleted(store: Store, how: str) -> None:
    kept = submit(store, owner="olga")
    held = submit(store, owner="olga")
    found = claim(store, 1)
    assert claim(store, 1) is None
    getattr(store, how)(held.id)
    assert numbers(store, 1)["held"] == 0
    assert found is not None
    end(store, found)
    store.delete(kept.id)
    if how == "stop":
        store.delete(held.id)
    assert keys(store) == set()


def test_a_dead_workers_places_are_free_once_its_runs_are_taken_from_it(store: Store) -> None:
    many(store, "olga", 2)
    assert claim(store, 1) is not None
    assert claim(store, 1) is None
    run_out(store)
    store.reap(10)
    assert numbers(store) == {"code": 2, "http": 0, "due": 0, "running": 0, "held": 0}
    assert claim(store, 1) is not None
    assert claim(store, 1) is None


def test_a_retry_frees_its_place_while_it_waits(store: Store) -> None:
    first, second = submit(store, owner="olga", retry=Retry(max=1)), submit(store, owner="olga")
    found = claim(store, 1)
    assert claim(store, 1) is None
    assert found is not None
    assert found.run_id == f"{first.id}.1"
    store.finish(found, "w1", status=Status.FAILED, reason="code_raised", outcome={}, retry_after=60_000)
    following = claim(store, 1)
    assert following is not None
    assert following.run_id == f"{second.id}.1"


@pytest.mark.parametrize("most", [None, 5])
def test_a_larger_quota_or_none_lets_in_those_that_were_held_back(store: Store, most: int | None) -> None:
    many(store, "olga", 4)
    assert claim(store, 1) is not None
    assert claim(store, 1) is None
    pulse = store.heartbeat("w1", {}, {"code": 10, "http": 10}, [], of_one_owner=most)
    assert len(pulse.waiting) == 3
    assert [claim(store, most) is not None for _ in range(4)] == [True, True, True, False]


def test_a_heartbeat_rings_for_nothing_that_is_held_back(store: Store) -> None:
    many(store, "olga", 150)
    assert claim(store, 1) is not None
    pulse = store.heartbeat("w1", {}, {"code": 10, "http": 10}, [], of_one_owner=1)
    assert pulse.waiting == []
    assert numbers(store, 1)["held"] == 149


def test_one_claim_holds_back_so_many_and_no_more_so_that_redis_is_free_for_others(store: Store) -> None:
    many(store, "anonymous", 250)
    submit(store, owner="stefan")
    assert claim(store, 1) is not None
    found = [claim(store, 1) for _ in range(3)]
    assert found[:2] == [None, None]
    assert found[2] is not None
    assert owner_of(store, found[2]) == "stefan"


def test_without_a_quota_nothing_is_kept_of_who_has_what_going(store: Store) -> None:
    many(store, "olga", 2)
    take(store)
    assert counts(store) == {"{tms}:owner:olga:next:code"}
    take(store)
    assert counts(store) == set()


def order(store: Store, most: int | None = None) -> list[str]:
    """Whose tasks are done one after the other, by their names."""
    found = []
    while (one := claim(store, most)) is not None:
        found.append(one.about["name"])
        end(store, one)
    return found


@pytest.mark.parametrize("most", [None, 1, 3])
def test_owners_take_turns_so_that_nobody_waits_for_all_that_another_has_sent(store: Store, most: int | None) -> None:
    for owner, number in (("olga", 5), ("stefan", 3), ("vera", 1)):
        for each in range(number):
            submit(store, owner=owner, name=f"{owner} {each}")
    wanted = ["olga 0", "stefan 0", "vera 0", "olga 1", "stefan 1", "olga 2", "stefan 2", "olga 3", "olga 4"]
    assert order(store, most) == wanted
    assert counts(store) == set()


def test_high_priority_goes_before_ones_own_and_takes_no_turn_of_others(store: Store) -> None:
    for each in range(3):
        submit(store, owner="olga", name=f"olga {each}")
    submit(store, owner="stefan", name="stefan 0")
    for each in range(3):
        submit(store, owner="olga", name=f"olga high {each}", priority="high")
    submit(store, owner="stefan", name="stefan high", priority="high")
    submit(store, owner="vera", name="vera 0")
    wanted = [
        "olga high 0",
        "stefan high",
        "vera 0",
        "olga high 1",
        "stefan 0",
        "olga high 2",
        "olga 0",
        "olga 1",
        "olga 2",
    ]
    assert order(store) == wanted
    assert counts(store) == set()


def test_whoever_sends_again_and_again_is_not_before_one_who_waits(store: Store) -> None:
    submit(store, owner="olga", name="olga", priority="high")
    submit(store, owner="stefan", name="stefan")
    found = []
    for _ in range(3):
        one = claim(store, None)
        assert one is not None
        found.append(one.about["name"])
        end(store, one)
        submit(store, owner="olga", name="olga", priority="high")
    assert found == ["olga", "stefan", "olga"]


def test_a_heartbeat_rings_for_as_many_of_one_owner_as_there_is_room_for(store: Store) -> None:
    many(store, "olga", 9)
    submit(store, owner="stefan")
    pulse = store.heartbeat("w1", {}, {"code": 5, "http": 10}, [], of_one_owner=7)
    assert len(set(pulse.waiting)) == 5
    pulse = store.heartbeat("w1", {}, {"code": 50, "http": 10}, [], of_one_owner=None)
    assert len(set(pulse.waiting)) == len(pulse.waiting) == RING_AT_MOST


class Chance:
    """Acts drawn at random on a store in which two owners have tasks."""

    ACTS = ("submit", "submit", "claim", "claim", "finish", "take_away", "take_away", "beat")

    def __init__(self, store: Store, seed: int) -> None:
        self.store, self.draw, self.most = store, random.Random(seed), 1 + seed % 3
        self.going: list[Claim] = []
        self.alive: list[str] = []

    def act(self) -> None:
        getattr(self, self.draw.choice(self.ACTS))()

    def submit(self) -> None:
        kind = self.draw.choice(KINDS)
        owner, priority = self.draw.choice(("olga", "stefan")), self.draw.choice(("high", "normal"))
        self.alive.append(submit(self.store, owner=owner, kind=kind, priority=priority).id)

    def claim(self) -> Claim | None:
        wanted = f"{self.draw.choice(self.alive)}.1" if self.alive and self.draw.random() < 0.5 else ""
        found = claim(self.store, self.most, wanted)
        self.going += [found] if found else []
        return found

    def finish(self) -> None:
        if self.going:
            end(self.store, self.going.pop(self.draw.randrange(len(self.going))))

    def take_away(self) -> None:
        if not self.alive:
            return
        task_id = self.alive.pop(self.draw.randrange(len(self.alive)))
        if self.draw.random() < 0.5:
            self.store.stop(task_id)
        else:
            self.store.delete(task_id)
            self.going = [each for each in self.going if not each.run_id.startswith(task_id)]

    def beat(self) -> None:
        self.store.heartbeat("w1", {}, dict.fromkeys(KINDS, 10), self.going, of_one_owner=self.most)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_nobody_has_more_and_nothing_is_left_lying(store: Store, seed: int) -> None:
    chance = Chance(store, seed)
    for _ in range(250):
        chance.act()
        counted = Counter(owner_of(store, each) for each in chance.going)
        assert max(counted.values(), default=0) <= chance.most
    chance.alive = []
    while chance.claim() or chance.going:
        chance.finish()
    assert numbers(store) == {"code": 0, "http": 0, "due": 0, "running": 0, "held": 0}
    assert counts(store) == set()
