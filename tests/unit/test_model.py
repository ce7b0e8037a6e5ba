"""The table of moves: that it is complete, and that it says what the rest relies on."""

from __future__ import annotations

import dataclasses

import pytest

from tasks.model import ENDED, FINISHED, RUN_MOVES, SCHEDULE_MOVES, Status
from tests.make import make_task


def reachable(table: object, start: Status) -> set[Status]:
    assert isinstance(table, dict)
    found, edge = {start}, [start]
    while edge:
        new = table.get(edge.pop(), frozenset()) - found
        found |= new
        edge.extend(new)
    return found


def test_a_finished_run_never_changes() -> None:
    assert not FINISHED & RUN_MOVES.keys()


def test_every_status_of_a_run_but_skipped_is_reached_from_scheduled() -> None:
    of_schedules_only = {Status.PAUSED, Status.COMPLETED}
    # A skipped run is made so: it never was anything else.
    assert reachable(RUN_MOVES, Status.SCHEDULED) == set(Status) - of_schedules_only - {Status.SKIPPED}


@pytest.mark.parametrize("status", sorted(RUN_MOVES))
def test_from_every_status_a_run_can_end(status: Status) -> None:
    assert reachable(RUN_MOVES, status) & FINISHED


def test_whatever_is_not_finished_can_be_stopped() -> None:
    for status in set(RUN_MOVES) - {Status.STOPPING}:
        assert RUN_MOVES[status] & {Status.STOPPED, Status.STOPPING}


def test_only_a_worker_that_runs_it_ends_a_run_by_its_outcome() -> None:
    for outcome in (Status.SUCCEEDED, Status.FAILED, Status.TIMED_OUT, Status.LOST):
        assert [was for was, moves in RUN_MOVES.items() if outcome in moves] == [Status.RUNNING]


def test_an_ended_schedule_only_stops_what_still_runs() -> None:
    assert SCHEDULE_MOVES[Status.COMPLETED] == {Status.STOPPING}
    assert Status.STOPPED not in SCHEDULE_MOVES
    assert FINISHED | {Status.COMPLETED} == ENDED


def test_records_cannot_be_changed() -> None:
    task = make_task()
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.status = Status.RUNNING  # type: ignore[misc]
