"""Listing: filters and their combinations, pages that neither skip nor repeat, bounds, names and totals."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tasks import identifier
from tasks.model import Status, Task
from tasks.store import Store
from tests.make import end, make_task, submit, take


def ids(tasks: Sequence[Task]) -> list[str]:
    return [task.id for task in tasks]


def paged(store: Store, limit: int, between: Callable[[], Any] = lambda: None, **how: Any) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page, cursor, _ = store.list(limit=limit, cursor=cursor, **how)
        assert len(page) <= limit
        found += ids(page)
        if cursor is None:
            return found
        between()


def variety(store: Store) -> list[Task]:
    """Newest first: every mix of kind, type and tags, some of them finished."""
    made = []
    for kind, task_type, tags in itertools.product(
        ("code", "http"), ("immediate", "delayed", "scheduled"), ((), ("a",), ("a", "b"))
    ):
        made.append(submit(store, kind=kind, task_type=task_type, tags=tags, name=f"{kind} {task_type}"))
    end(store, take(store, kinds=["code"]))
    end(store, take(store, kinds=["http"]), status=Status.FAILED)
    return [store.get(task.id) for task in reversed(made)]


def test_the_empty_list_is_empty(store: Store) -> None:
    assert store.list(limit=50) == ([], None, 0)
    assert store.list(limit=50, filters={"status": "failed"}, name="x") == ([], None, None)


def test_all_tasks_newest_first_without_their_specs(store: Store) -> None:
    made = variety(store)
    found, cursor, total = store.list(limit=50)
    assert ids(found) == ids(made)
    assert (cursor, total) == (None, 18)
    assert all(task.spec == {} and task.last_run is None for task in found)


@pytest.mark.parametrize("limit", [1, 2, 5, 17, 18, 19])
def test_pages_of_any_size_hold_every_task_once(store: Store, limit: int) -> None:
    made = variety(store)
    assert paged(store, limit) == ids(made)


def test_every_combination_of_filters_finds_what_matches_and_nothing_else(store: Store) -> None:
    made = variety(store)
    told: dict[str, tuple[Callable[[Task], Any], tuple[str, ...]]] = {
        "status": (lambda task: [task.status], ("", "queued", "scheduled", "succeeded", "failed", "lost")),
        "type": (lambda task: [task.task_type], ("", "immediate", "delayed", "scheduled")),
        "kind": (lambda task: [task.kind], ("", "code", "http", "shell")),
        "tag": (lambda task: task.tags, ("", "a", "b", "c")),
    }
    for values in itertools.product(*(choices for _, choices in told.values())):
        filters = {name: value for name, value in zip(told, values, strict=True) if value}
        matching = [task for task in made if all(value in told[name][0](task) for name, value in filters.items())]
        found, cursor, total = store.list(limit=50, filters=filters)
        assert (ids(found), cursor, total) == (ids(matching), None, len(matching)), filters
    assert paged(store, 2, filters={"kind": "code", "tag": "a"}) == [
        task.id for task in made if task.kind == "code" and "a" in task.tags
    ]


def test_the_status_filter_follows_each_move(store: Store) -> None:
    task = submit(store)

    def listed() -> list[Status]:
        return [status for status in Status if store.list(limit=5, filters={"status": status})[0]]

    assert listed() == [Status.QUEUED]
    claim = take(store)
    assert listed() == [Status.RUNNING]
    end(store, claim, status=Status.FAILED, retry_after=0)
    assert listed() == [Status.RETRYING]
    store.due(10)
    claim = take(store)
    store.stop(task.id)
    assert listed() == [Status.STOPPING]
    end(store, claim)
    assert listed() == [Status.STOPPED]


def test_tasks_that_arrive_between_pages_are_neither_repeated_nor_do_they_hide_others(store: Store) -> None:
    made = [submit(store).id for _ in range(20)]
    seen = paged(store, 3, between=lambda: submit(store))
    assert seen == made[::-1]


def test_tasks_deleted_between_pages_hide_no_other(store: Store) -> None:
    made = [submit(store).id for _ in range(20)]
    first, cursor, _ = store.list(limit=5)
    assert cursor is not None
    # The page goes on below the last id it showed, also where that task is gone.
    store.delete(cursor)
    store.delete(made[12])
    rest, cursor, total = store.list(limit=50, cursor=cursor)
    assert ids(first) + ids(rest) == [one for one in made[::-1] if one != made[12]]
    assert (cursor, total) == (None, 18)


def test_tasks_are_found_by_a_part_of_the_name(store: Store) -> None:
    names = ["Nightly Report", "每日报表", "report (old)", "100%_[x].*", "ÄRGER", "Nothing"]
    made = {name: submit(store, name=name).id for name in names}

    def found(part: str) -> set[str]:
        return {name for name in names if made[name] in ids(store.list(limit=50, name=part)[0])}

    assert found("report") == {"Nightly Report", "report (old)"}
    assert found("REPORT") == {"Nightly Report", "report (old)"}
    assert found("日报") == {"每日报表"}
    assert found("%_[x].*") == {"100%_[x].*"}
    assert found("ÄRGER") == {"ÄRGER"}
    assert found("Rg") == {"ÄRGER"}
    assert found("zzz") == set()


def test_a_name_that_matches_seldom_is_found_over_pages(store: Store) -> None:
    for number in range(450):
        submit(store, name="needle" if number in (3, 222) else "hay")
    assert len(paged(store, 1, name="needle")) == 2
    found, _, total = store.list(limit=50, name="needle", filters={"kind": "code"})
    assert (len(found), total) == (2, None)


def test_a_page_that_looked_far_enough_says_where_to_go_on(store: Store) -> None:
    wanted = submit(store, name="needle").id
    store._redis.command(
        "EVAL",
        "for i = 1, 5200 do local id = 'ffffffff-' .. string.format('%06d', i) "
        "redis.call('ZADD', KEYS[1] .. 'tasks:in:failed:immediate:code', 0, id) "
        "redis.call('SET', KEYS[1] .. 'task:' .. id .. ':body', '{\"name\": \"hay\"}' .. string.char(10) .. '{}') end",
        1,
        "{tms}:",
    )
    found, cursor, _ = store.list(limit=5, name="needle")
    assert (found, cursor is not None) == ([], True)
    assert paged(store, 5, name="needle") == [wanted]


def test_created_bounds_are_exclusive_at_both_ends(store: Store) -> None:
    made = []
    for moment in (1000, 2000, 2000, 3000):
        task_id = f"{identifier.first_at(moment)}-7000-8000-{len(made):012x}"
        store.submit(make_task(id=task_id), delay=None, losses=2, history=100)
        made.append(task_id)

    def between(after: int | None, before: int | None, **how: Any) -> list[int]:
        bounds = {
            "after": None if after is None else identifier.first_at(after + 1),
            "before": None if before is None else identifier.first_at(before),
        }
        found, _, total = store.list(limit=50, **bounds, **how)
        assert total == len(found)
        assert paged(store, 1, **bounds, **how) == ids(found)
        return [made.index(task.id) for task in found]

    assert between(None, None) == [3, 2, 1, 0]
    assert between(1000, None) == [3, 2, 1]
    assert between(999, 3000) == [2, 1, 0]
    assert between(1000, 3000) == [2, 1]
    assert between(2000, 2000) == []
    assert between(3000, 1000) == []
    assert between(1000, 3000, filters={"status": "queued", "kind": "code"}) == [2, 1]
    assert between(-5, 10**20) == [3, 2, 1, 0]


def test_the_total_does_not_depend_on_the_page(store: Store) -> None:
    for _ in range(7):
        submit(store)
    _, cursor, first = store.list(limit=3)
    _, _, second = store.list(limit=3, cursor=cursor)
    assert (first, second) == (7, 7)
