"""The table of moves as Redis enforces it: every move in it is made, every other one is refused and changes nothing."""

from __future__ import annotations

import pytest
import redis

from tasks.model import FINISHED, RUN_MOVES, SCHEDULE_MOVES, Status
from tasks.store import Store, scripts
from tests.make import everything, submit

BEFORE = "\n".join(scripts._before("submit"))
MOVE_RUN = f"{BEFORE}\nmove_run(ARGV[1], ARGV[2], now_ms())"
MOVE_TASK = f"{BEFORE}\nmove_task(ARGV[1], ARGV[2], '', now_ms())"


def refused(store: Store, script: str, member: str, new: Status) -> bool:
    try:
        store._redis.command("EVAL", script, 1, "{tms}:", member, new)
    except redis.ResponseError as error:
        if "illegal move" not in str(error):
            raise
        return True
    return False


@pytest.mark.parametrize("was", sorted(Status))
def test_a_run_moves_only_as_the_table_says(store: Store, was: Status) -> None:
    for new in sorted(Status):
        task = submit(store)
        for key in (f"{{tms}}:task:{task.id}", f"{{tms}}:run:{task.id}.1"):
            store._redis.command("HSET", key, "status", was)
        before = everything(store)
        if new in RUN_MOVES.get(was, ()):
            assert not refused(store, MOVE_RUN, f"{task.id}.1", new), f"{was} to {new}"
            after = store.get(task.id)
            assert after.last_run is not None
            assert (after.status, after.last_run.status) == (new, new)
            assert (after.last_run.finished_at is not None) is (new in FINISHED)
        else:
            assert refused(store, MOVE_RUN, f"{task.id}.1", new), f"{was} to {new}"
            assert everything(store) == before
        store.delete(task.id)


@pytest.mark.parametrize("was", sorted(Status))
def test_a_schedule_moves_only_as_the_table_says(store: Store, was: Status) -> None:
    for new in sorted(set(Status) - {was}):
        task = submit(store, task_type="scheduled")
        store._redis.command("HSET", f"{{tms}}:task:{task.id}", "status", was)
        before = everything(store)
        if new in SCHEDULE_MOVES.get(was, ()):
            assert not refused(store, MOVE_TASK, task.id, new), f"{was} to {new}"
            assert store.get(task.id).status == new
        else:
            assert refused(store, MOVE_TASK, task.id, new), f"{was} to {new}"
            assert everything(store) == before
        store._redis.command("FLUSHALL")


def test_a_run_that_is_not_there_cannot_be_moved(store: Store) -> None:
    assert refused(store, MOVE_RUN, "nothing.1", Status.QUEUED)
    assert everything(store) == {}


def test_every_script_says_what_it_is_given_and_what_it_answers() -> None:
    names = sorted(path.stem for path in scripts.FOLDER.glob("*.lua"))
    assert len(names) > 10
    for name in names:
        header = (scripts.FOLDER / f"{name}.lua").read_text("utf-8")[:1200]
        if name not in ("records", "accounts"):
            header = header.partition("\n")[2]
            assert "-- ARGV" in header, name
            assert "-- Answer" in header, name
        assert header.startswith("-- "), name
        assert "KEYS[1]" in header, name
