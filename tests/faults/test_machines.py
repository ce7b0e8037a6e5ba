"""Three machines that only know where Redis is: one is cut off in mid-run, and everything ends as it should."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from tests.faults import network
from tests.faults.load import QUICK
from tests.faults.machines import Machines
from tests.faults.stage import pause
from tests.integration.service import FINISHED, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

SLOW = """
def f(token, seconds):
    import datetime
    end = datetime.datetime.now() + datetime.timedelta(seconds=seconds)
    while datetime.datetime.now() < end:
        pass
    return token
"""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """The machines, with everything running on them."""
    if why := network.why_not():
        pytest.skip(why)
    stage = Machines(tmp_path_factory.mktemp("machines"))
    try:
        stage.open()
        yield stage
    finally:
        stage.close()


@pytest.fixture(autouse=True)
def _healed(stage: Machines) -> Iterator[None]:
    yield
    for host in stage.hosts.values():
        host.heal()


def quick(stage: Machines, number: int) -> list[str]:
    """Tasks of both kinds."""
    code = [stage.submit(function_code=QUICK, function_name="f", args=[f"code-{n}"])["id"] for n in range(number)]
    return code + [stage.submit(api_url=f"{stage.sink}/effect/quick-{n}")["id"] for n in range(number)]


def host_of(task: dict[str, Any]) -> str:
    """The machine that the last attempt was made on."""
    return str(task["last_run"]["worker"] or "").split(":")[0]


def used(stage: Machines) -> set[str]:
    """The machines that take part in new work."""
    return {host_of(stage.finished(task_id)) for task_id in quick(stage, 10)}


def await_both(stage: Machines) -> None:
    """Return once both machines do new work."""
    wait_for("work on both machines", lambda: used(stage) == {"b", "c"}, seconds=60)


def test_both_machines_work_with_nothing_but_the_address_of_redis(stage: Machines) -> None:
    await_both(stage)
    workers = stage.call("GET", "/api/health").json()["workers"]
    assert sorted(worker["host"] for worker in workers) == ["b", "c"]


def test_a_machine_cut_off_in_mid_run_and_healed_later_loses_and_doubles_nothing(stage: Machines) -> None:
    await_both(stage)
    tick = stage.submit(
        api_url=f"{stage.sink}/effect/tick", task_type="scheduled", cron_expression="* * * * * *", overlap="allow"
    )
    slow = [stage.submit(function_code=SLOW, function_name="f", args=[f"slow-{n}", 4])["id"] for n in range(4)]
    calls = [stage.submit(api_url=f"{stage.sink}/slow/call-{n}", timeout=60)["id"] for n in range(6)]
    wait_for("runs on b", lambda: [t for t in slow if host_of(stage.task(t)) == "b"])
    stage.hosts["b"].cut()
    meanwhile = quick(stage, 5)
    for task_id in meanwhile:
        assert host_of(stage.finished(task_id)) == "c"
    # Longer than a lease and a reap: c does again what b had.
    ended = {task_id: stage.finished(task_id, seconds=90) for task_id in slow + calls}
    again = [ended[task_id] for task_id in slow if ended[task_id]["attempt"] == 2]
    assert again
    assert {host_of(task) for task in again} == {"c"}
    assert [stage.call("GET", "/api/health").json()["workers"][0]["host"]] == ["c"]

    stage.hosts["b"].heal()
    await_both(stage)
    assert stage.processes["worker"].poll() is None
    assert stage.processes["beat"].poll() is None
    for number, task_id in enumerate(slow):
        task = stage.task(task_id)
        assert (task["status"], task["result"]) == ("succeeded", f"slow-{number}")
        assert [attempt["status"] for attempt in task["last_run"]["attempts"]].count("succeeded") == 1
        assert task["finished_at"] == ended[task_id]["finished_at"], "a late result from b changed it"
    effects = stage.effects()
    for number, task_id in enumerate(calls):
        assert stage.task(task_id)["status"] in ("succeeded", "failed", "lost")
        assert len(effects.get(f"call-{number}", ())) <= 1
    check_ticks(stage, tick["id"])


def check_ticks(stage: Machines, task_id: str) -> None:
    """Every second since the first has one run or one skipped row, and no run more than one effect."""
    stage.call("POST", f"/api/tasks/{task_id}/pause")
    runs = wait_for("the end of its runs", lambda: ended_runs(stage, task_id))
    dues = {run["due_at"] for run in runs}
    assert len(dues) == len(runs)
    moments = sorted(datetime.fromisoformat(due) for due in dues)
    assert {(later - earlier).total_seconds() for earlier, later in pairwise(moments)} == {1}
    assert len(stage.effects()["tick"]) <= sum(1 for run in runs if run["attempt"])


def ended_runs(stage: Machines, task_id: str) -> list[dict[str, Any]]:
    """The runs of a task once all have ended; else none."""
    runs: list[dict[str, Any]] = stage.call("GET", f"/api/tasks/{task_id}/runs?limit=500").json()["runs"]
    return runs if all(run["status"] in (*FINISHED, "skipped") for run in runs) else []


def test_lines_that_work_one_way_only_are_no_worse(stage: Machines) -> None:
    await_both(stage)
    stage.hosts["b"].drop(arriving=True)
    stage.hosts["c"].drop(leaving=True)
    tasks = quick(stage, 5)
    pause(3)
    tasks += quick(stage, 5)
    for host in stage.hosts.values():
        host.heal()
    check(stage, tasks)
    await_both(stage)


def test_bad_lines_are_no_worse(stage: Machines) -> None:
    stage.hosts["a"].slow()
    stage.hosts["b"].reset()
    stage.hosts["c"].drop(arriving=True, leaving=True, percent=20)
    tasks = quick(stage, 5)
    pause(3)
    for host in stage.hosts.values():
        host.heal()
    check(stage, tasks)
    await_both(stage)


def check(stage: Machines, tasks: list[str]) -> None:
    """Each has ended, code with its result; no call has had more than one effect for each time it was sent."""
    for task_id in tasks:
        task = stage.finished(task_id, seconds=60)
        assert task["kind"] == "http" or task["status"] == "succeeded", task
        assert task["status"] in ("succeeded", "failed", "timed_out", "lost"), task
