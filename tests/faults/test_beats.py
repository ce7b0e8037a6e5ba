"""Beats are killed, paused and doubled while schedules are due: each occurrence is a row, once, and soon."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
import redis

from tests.integration.service import Service, client_of, wait_for
from tests.integration.sink import Sink

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

EVERY_SECOND = "* * * * * *"
#: Seconds within which another Beat must have taken over. Two are promised, twice that is for a machine that is busy;
#: what it took is printed.
TAKEOVER = 4.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that keeps every row; the tests of this file kill its Beats and start them again."""
    service = Service(tmp_path_factory.mktemp("service"), RUN_HISTORY="10000")
    service.commands = {**service.commands, "beat2": service.commands["beat"]}
    try:
        service.start("redis", "api", "worker", "beat")
        yield service
    finally:
        service.stop()


@pytest.fixture
def two_beats(service: Service) -> None:
    """Another Beat beside the first."""
    for name in ("beat", "beat2"):
        if name not in service.processes:
            revive(service, name)


def revive(service: Service, name: str) -> None:
    """Start a Beat, and wait until it has begun, whatever others there are."""
    out = service.folder / f"{name}.out"
    before = out.read_bytes().count(b"beat: Starting") if out.exists() else 0
    service.revive(name)
    wait_for(f"the start of {name}", lambda: out.read_bytes().count(b"beat: Starting") > before)


def second(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp())


def rows_of(service: Service, task_id: str) -> list[dict[str, Any]]:
    """Every row of a task that fires each second, oldest first; there must be one for each second."""
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = service.call("GET", f"/api/tasks/{task_id}/runs?limit=500{cursor}").json()
        rows += page["runs"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    rows.sort(key=lambda row: row["number"])
    seconds = [second(row["due_at"]) for row in rows]
    assert seconds == list(range(seconds[0], seconds[0] + len(seconds))), "an occurrence left no row, or has two"
    return rows


def rest(service: Service, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Pause the schedules; their rows, all ended. The schedules are gone afterwards."""
    for task_id in ids:
        wait_for("the pause", lambda: service.call("POST", f"/api/tasks/{task_id}/pause").status_code == 200)  # noqa: B023
    wait_for("nothing running", lambda: idle(service))
    found = {task_id: rows_of(service, task_id) for task_id in ids}
    for task_id in ids:
        assert service.call("DELETE", f"/api/tasks/{task_id}").status_code == 204
    return found


def idle(service: Service) -> bool:
    waiting = service.call("GET", "/api/health").json()["queues"]
    return all(count == 0 for name, count in waiting.items() if name != "due")


def effects_match(sink: Sink, path: str, rows: list[dict[str, Any]]) -> None:
    """Whether each run that was done had its one effect."""
    done = [row for row in rows if row["status"] != "skipped"]
    assert {row["status"] for row in done} == {"succeeded"}
    assert sink.calls.count(path) == len(done)


@pytest.mark.parametrize("kills", [20, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_a_beat_killed_again_and_again_in_a_burst_loses_and_doubles_nothing(
    service: Service, sink: Sink, kills: int
) -> None:
    dice = random.Random(kills)
    # More than one script fires at once, so that a kill may fall between two of them.
    ids = [
        service.submit(api_url=f"{sink.url}/slow{n}", task_type="scheduled", cron_expression=EVERY_SECOND)["id"]
        for n in range(110)
    ]
    with client_of(service.redis_port) as client:
        for _ in range(kills):
            wait_for_burst(client, ids[0])
            time.sleep(dice.uniform(0, 0.04))
            service.kill("beat")
            revive(service, "beat")
    found = rest(service, ids)
    assert all(len(rows) >= kills for rows in found.values())
    for number, task_id in enumerate(ids):
        effects_match(sink, f"/slow{number}", found[task_id])


def wait_for_burst(client: redis.Redis, task_id: str) -> None:
    """Return as soon as the first of the schedules has fired."""
    key = f"{{tms}}:task:{task_id}"
    seen = client.hget(key, "runs")
    end = time.monotonic() + 30
    while client.hget(key, "runs") == seen:
        assert time.monotonic() < end, "no burst"
        time.sleep(0.001)


def test_of_two_beats_one_fires_and_the_other_takes_over_when_it_is_killed(
    service: Service, two_beats: None, sink: Sink
) -> None:
    fields = {"task_type": "scheduled", "cron_expression": EVERY_SECOND, "overlap": "allow"}
    task_id = service.submit(api_url=f"{sink.url}/tick", **fields)["id"]
    killed: list[tuple[str, int]] = []
    with client_of(service.redis_port) as client:
        for name in ("beat", "beat2", "beat", "beat2"):
            wait_for_burst(client, task_id)
            time.sleep(0.4)
            service.kill(name)
            killed.append((name, int(client.time()[0])))
            wait_for_burst(client, task_id)
            revive(service, name)
    rows = rest(service, [task_id])[task_id]
    effects_match(sink, "/tick", rows)
    late = {second(row["due_at"]): delay(row) for row in rows if row["queued_at"]}
    after = {at: max(late[at + 1], late.get(at + 2, 0)) for _, at in killed}
    print("a due run was queued so many seconds late after a Beat was killed:", sorted(after.values()))
    assert max(after.values()) <= TAKEOVER


def delay(row: dict[str, Any]) -> float:
    """Seconds from the due time until a worker could have it."""
    return (datetime.fromisoformat(row["queued_at"]) - datetime.fromisoformat(row["due_at"])).total_seconds()


def test_two_beats_awake_do_no_harm(service: Service, two_beats: None, sink: Sink) -> None:
    ids = [
        service.submit(api_url=f"{sink.url}/{n}", task_type="scheduled", cron_expression=EVERY_SECOND, overlap=overlap)[
            "id"
        ]
        for n, overlap in enumerate(("skip", "queue", "allow") * 10)
    ]
    once = [
        service.submit(api_url=f"{sink.url}/once", task_type="delayed", delay_seconds=1 + n / 10)["id"]
        for n in range(30)
    ]
    assert {service.finished(task_id)["status"] for task_id in once} == {"succeeded"}
    found = rest(service, ids)
    for number, task_id in enumerate(ids):
        effects_match(sink, f"/{number}", found[task_id])
    assert sink.calls.count("/once") == len(once)


def test_a_paused_beat_that_wakes_fires_nothing_again_and_nothing_is_missing(
    service: Service, two_beats: None, sink: Sink
) -> None:
    ids = [
        service.submit(api_url=f"{sink.url}/{n}", task_type="scheduled", cron_expression=EVERY_SECOND, overlap="allow")[
            "id"
        ]
        for n in range(20)
    ]
    # One of two, then both, so that what was due meanwhile is late; then the other way round.
    for paused, seconds in ((("beat",), 3), (("beat", "beat2"), 3), (("beat2",), 2)):
        for name in paused:
            service.processes[name].send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        for name in paused:
            service.processes[name].send_signal(signal.SIGCONT)
        time.sleep(1.5)
    found = rest(service, ids)
    for number, task_id in enumerate(ids):
        rows = found[task_id]
        assert Counter(row["status"] for row in rows if row["reason"] != "paused") == {
            "succeeded": sum(1 for row in rows if row["reason"] != "paused")
        }
        assert all(second(one["due_at"]) + 1 == second(two["due_at"]) for one, two in pairwise(rows))
        effects_match(sink, f"/{number}", rows)
