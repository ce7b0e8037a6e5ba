"""How many runs a worker does at once."""

from __future__ import annotations

from tasks.slots import Slots


def slots() -> Slots:
    return Slots(total=3, most={"code": 1, "http": 3})


def test_there_is_room_until_a_kind_has_all_it_may() -> None:
    held = slots()
    assert held.rooms == ["code", "http"]
    assert held.free == {"code": 1, "http": 3}
    held.take("code")
    assert held.rooms == ["http"]
    held.give("code")
    assert held.rooms == ["code", "http"]


def test_all_kinds_together_stay_within_the_total() -> None:
    held = slots()
    for _ in range(3):
        held.take("http")
    assert held.rooms == []
    held.give("http")
    assert held.rooms == ["code", "http"]


def test_a_kind_that_was_turned_away_is_told_once_there_is_room() -> None:
    held = slots()
    held.take("code")
    held.miss("code")
    assert held.missed() == []
    held.give("code")
    assert held.missed() == ["code"]
    assert held.missed() == []


def test_what_nobody_turned_away_is_not_told() -> None:
    assert slots().missed() == []


def test_the_count_that_is_handed_out_does_not_follow() -> None:
    held = slots()
    taken = held.taken
    held.take("code")
    assert taken == {"code": 0, "http": 0}
    assert held.taken == {"code": 1, "http": 0}
