"""Another owner's task does not exist for whoever may not see it: not for one verb of TaskManager."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks import principal
from tasks.base_tasks import build_kinds
from tasks.errors import Forbidden, RunNotFound, TaskNotFound, TooMuch
from tasks.follow import Place
from tasks.principal import Principal, Role
from tasks.store import MOST_KEPT, Store
from tasks.task_manager import TaskManager
from tests.make import RecordedBell, code_body, everything, http_body, make_settings
from tests.security.conftest import Guarded

OWNER = principal.of_user("olga", Role.OPERATOR)
STRANGER = principal.of_user("stefan", Role.OPERATOR)
READER = principal.of_user("vera", Role.VIEWER)
ADMIN = principal.of_user("ada", Role.ADMIN)
OWNERS_READING_KEY = principal.of_key("olga", Role.OPERATOR, Role.VIEWER, "k1")

#: Every verb that is given the id of a task, whoever wrote it.
VERBS = sorted(
    name
    for name, verb in inspect.getmembers(TaskManager, inspect.isfunction)
    if not name.startswith("_") and "task_id" in inspect.signature(verb).parameters
)
#: What the verbs are given besides; a value by the name of the parameter.
REST: dict[str, Any] = {"start": Place(), "leaving": lambda: False, "run_id": "x", "limit": 1}


class Asked:
    """Who asks, to be changed in a test."""

    def __init__(self) -> None:
        self.who = OWNER

    def __call__(self) -> Principal:
        return self.who


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def manager(store: Store, tmp_path: Path, asked: Asked) -> Iterator[TaskManager]:
    settings = make_settings(tmp_path, quota_tasks=3, quota_schedules=1)
    kinds = build_kinds(settings)
    yield TaskManager(store=store, bell=RecordedBell(), kinds=kinds, settings=settings, who=asked)
    for kind in kinds.values():
        kind.close()


def call(manager: TaskManager, verb: str, task_id: str) -> Any:
    """The verb with whatever else it needs."""
    method = getattr(manager, verb)
    wanted = inspect.signature(method).parameters.values()
    missing = [one.name for one in wanted if one.default is one.empty and one.name != "task_id"]
    return method(task_id=task_id, **{name: REST.get(name, {}) for name in missing})


def test_the_verbs_are_found() -> None:
    assert {"get", "stop", "delete", "runs", "run"} <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_a_stranger_is_told_of_no_task(manager: TaskManager, store: Store, asked: Asked, verb: str) -> None:
    task = manager.submit(http_body(task_type="scheduled", cron_expression="@daily"))
    before = everything(store)
    asked.who = STRANGER
    with pytest.raises(TaskNotFound) as refusal:
        call(manager, verb, task.id)
    with pytest.raises(TaskNotFound) as absent:
        call(manager, verb, "00000000000000000000000000")
    assert refusal.value.message.replace(task.id, "") == absent.value.message.replace("0" * 26, "")
    assert everything(store) == before


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("who", [READER, OWNERS_READING_KEY], ids=["viewer", "owner's viewer key"])
def test_a_viewer_changes_nothing(manager: TaskManager, store: Store, asked: Asked, verb: str, who: Principal) -> None:
    task = manager.submit(http_body(task_type="scheduled", cron_expression="@daily"))
    before = everything(store)
    asked.who = who
    with contextlib.suppress(Forbidden, RunNotFound):  # a verb that reads may find nothing to tell
        call(manager, verb, task.id)
    assert everything(store) == before
    with pytest.raises(Forbidden):
        manager.submit(http_body())


def test_each_lists_what_he_may_see(manager: TaskManager, asked: Asked) -> None:
    hers = manager.submit(http_body())
    asked.who = STRANGER
    his = manager.submit(http_body())

    def seen(**filters: str) -> set[str]:
        found, _, total = manager.list(limit=10, filters=filters)
        assert total == len(found)
        return {task.id for task in found}

    assert seen() == {his.id}
    assert seen(owner="olga") == set()
    assert seen(owner="stefan", kind="http") == {his.id}
    for all_seeing in (ADMIN, READER, principal.ANONYMOUS):
        asked.who = all_seeing
        assert seen() == {hers.id, his.id}
        assert seen(owner="olga") == {hers.id}


def test_the_owner_is_who_submits_and_no_field_says_otherwise(manager: TaskManager) -> None:
    assert manager.submit(http_body()).owner == "olga"
    with pytest.raises(Exception, match="cannot be accepted") as refusal:
        manager.submit(http_body(owner="ada"))
    assert [problem.code for problem in refusal.value.problems] == ["unknown_field"]  # type: ignore[attr-defined]


def test_quotas_count_the_tasks_of_each_owner(manager: TaskManager, asked: Asked) -> None:
    schedule = manager.submit(http_body(task_type="scheduled", cron_expression="@daily"))
    with pytest.raises(TooMuch) as refusal:
        manager.submit(http_body(task_type="scheduled", cron_expression="@daily"))
    assert refusal.value.code == "quota_exceeded"
    manager.stop(schedule.id)
    again = manager.submit(http_body(task_type="scheduled", cron_expression="@daily"))
    manager.submit(http_body())
    with pytest.raises(TooMuch):
        manager.submit(http_body())
    asked.who = STRANGER
    manager.submit(http_body())
    asked.who = OWNER
    manager.delete(again.id)
    manager.submit(http_body())


def test_a_key_has_the_less_of_two_roles() -> None:
    def key(user: Role, role: Role) -> tuple[Role, bool]:
        made = principal.of_key("x", user, role, "k")
        return made.role, made.sees_all

    assert key(Role.ADMIN, Role.ADMIN) == (Role.ADMIN, True)
    assert key(Role.ADMIN, Role.OPERATOR) == (Role.OPERATOR, False)
    assert key(Role.ADMIN, Role.VIEWER) == (Role.VIEWER, True)
    assert key(Role.OPERATOR, Role.VIEWER) == (Role.VIEWER, False)
    assert key(Role.OPERATOR, Role.ADMIN) == (Role.OPERATOR, False)
    assert key(Role.VIEWER, Role.OPERATOR) == (Role.VIEWER, True)


def test_code_tasks_have_owners_too(manager: TaskManager, store: Store) -> None:
    task = manager.submit(code_body())
    assert store.owner(task.id) == "olga"
    manager.delete(task.id)
    assert store.owner(task.id) is None


def test_answers_kept_for_idempotency_keys_are_limited(guarded: Guarded) -> None:
    olga, stefan = guarded.user("olga"), guarded.user("stefan")

    def submit(who: dict[str, str], key: str) -> Any:
        return guarded.call("POST", "/api/tasks", who, json=code_body(), headers={"Idempotency-Key": key})

    assert submit(olga, "first").status_code == 201
    pause = f"/api/tasks/{submit(olga, 'second').json['id']}/stop"
    assert guarded.call("POST", pause, olga, headers={"Idempotency-Key": "third"}).status_code == 200
    (counter,) = guarded.api.store._redis.command("KEYS", "{tms}:owner:olga:answers:*")
    kept = sum(len(value["answer"]) for name, value in everything(guarded.api.store).items() if "receipt:" in name)
    assert int(guarded.api.store._redis.command("GET", counter)) == kept
    assert 80_000 < int(guarded.api.store._redis.command("TTL", counter)) <= 90_000
    guarded.api.store._redis.command("SET", counter, MOST_KEPT + 1)
    refused = submit(olga, "fourth")
    assert (refused.status_code, refused.json["code"], refused.headers["Retry-After"]) == (
        429,
        "quota_exceeded",
        "3600",
    )
    assert submit(olga, "first").headers["Idempotency-Replayed"] == "true"
    assert guarded.call("POST", "/api/tasks", olga, json=code_body()).status_code == 201
    assert submit(stefan, "first").status_code == 201
