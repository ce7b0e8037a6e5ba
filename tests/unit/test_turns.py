"""Whose turn it is to hear what has come."""

from __future__ import annotations

import threading

from api.turns import LONG, NoTurns, Turn, Turns


def taken(turns: Turns) -> tuple[threading.Event, list[Turn]]:
    """Takes the turn in a thread of its own; the event is set when it has it."""
    has, found = threading.Event(), list[Turn]()

    def take() -> None:
        found.append(turns.take())
        has.set()

    threading.Thread(target=take, daemon=True).start()
    return has, found


def test_a_thread_waits_until_the_turn_ends() -> None:
    turns = Turns()
    turn = turns.take()
    has, found = taken(turns)
    assert not has.wait(LONG * 3)
    turn.begin()
    turn.end()
    assert has.wait(10)
    assert found == [turn]


def test_who_is_busy_for_long_loses_the_turn_and_ends_nobodys_but_his_own() -> None:
    turns = Turns()
    lost = turns.take()
    lost.begin()
    has, found = taken(turns)
    assert has.wait(10)
    lost.end()
    third, _ = taken(turns)
    assert not third.wait(LONG * 3)
    found[0].end()
    assert third.wait(10)


def test_without_turns_nobody_waits() -> None:
    turns = NoTurns()
    first, second = turns.take(), turns.take()
    first.end()
    second.end()
