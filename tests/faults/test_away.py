"""An hour without a Beat: each missed occurrence becomes what its policy says, and nothing comes in a burst.

The hour is not waited for: while no Beat runs, every due time in Redis is put back by one hour.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
import redis

from tests.integration.service import FINISHED, Service, client_of, wait_for
from tests.integration.sink import Sink

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

HOUR = 3_600_000
#: An occurrence that is late by less than this was not missed, milliseconds.
GRACE = 60_000
#: Occurrences of `every_five_minutes` within any hour that ends when it was made.
MISSED = 11
EVERY_SECOND = "* * * * * *"


def every_five_minutes() -> str:
    """An expression whose times are all at least four minutes away from now, so that none is late within the grace."""
    minute = int(time.time() // 60)
    return f"{','.join(str(each) for each in sorted((minute + k) % 60 for k in range(5, 60, 5)))} * * * *"


def schedule(service: Service, url: str, **fields: Any) -> str:
    """A scheduled call; its id."""
    timing = {"task_type": "scheduled", "cron_expression": every_five_minutes(), **fields}
    return str(service.submit(api_url=url, **timing)["id"])


def put_back(client: redis.Redis, *task_ids: str) -> None:
    """Make all that is due an hour earlier, as if nobody had fired for that long."""
    for task_id in task_ids:
        task, run = f"{{tms}}:task:{task_id}", f"{{tms}}:run:{task_id}.1"
        member = task_id if client.zscore("{tms}:due", task_id) is not None else f"{task_id}.1"
        due = int(float(client.zscore("{tms}:due", member)) - HOUR)  # type: ignore[arg-type]
        client.zadd("{tms}:due", {member: due})
        client.hset(task, "due", str(due))
        if member != task_id and client.hget(run, "status") == "scheduled":
            client.hset(run, "due", str(due))


def runs_of(service: Service, task_id: str) -> list[dict[str, Any]]:
    """Every row of a task, oldest first."""
    page = service.call("GET", f"/api/tasks/{task_id}/runs?limit=500").json()
    assert page["next_cursor"] is None
    return sorted(page["runs"], key=lambda run: (run["due_at"], run["number"]))


def settled(service: Service, task_id: str, rows: int) -> list[dict[str, Any]]:
    """The rows of a task once there are so many, all of them ended."""

    def seen() -> list[dict[str, Any]] | None:
        runs = runs_of(service, task_id)
        over = all(run["status"] in FINISHED | {"skipped"} for run in runs)
        return runs if over and len(runs) >= rows else None

    return list(wait_for(f"{rows} rows of {task_id}", seen))


def outcomes(runs: list[dict[str, Any]]) -> dict[tuple[str, str | None], int]:
    return dict(Counter((run["status"], run["reason"]) for run in runs))


def did(ran: int, **skipped: int) -> dict[tuple[str, str | None], int]:
    expected: dict[tuple[str, str | None], int] = {("skipped", reason): count for reason, count in skipped.items()}
    return {**expected, **({("succeeded", None): ran} if ran else {})}


def test_after_an_hour_away_each_policy_does_what_it_says_and_there_is_no_burst(
    own_service: Service, sink: Sink
) -> None:
    service = own_service
    service.start("redis", "api", "worker")
    of = {
        "once": [schedule(service, f"{sink.url}/once", overlap="allow") for _ in range(20)],
        "skip": [schedule(service, f"{sink.url}/skip", misfire="skip", overlap="allow") for _ in range(5)],
        "all": [schedule(service, f"{sink.url}/all", misfire="all", misfire_limit=4, overlap="allow")],
        "all in turn": [schedule(service, f"{sink.url}/turn", misfire="all", misfire_limit=4, overlap="queue")],
        "all but busy": [schedule(service, f"{sink.url}/slow", misfire="all", misfire_limit=4, overlap="skip")],
        "few left": [schedule(service, f"{sink.url}/few", misfire="all", misfire_limit=4, overlap="allow", max_runs=2)],
        "paused": [schedule(service, f"{sink.url}/paused")],
    }
    for task_id in of["paused"]:
        assert service.call("POST", f"/api/tasks/{task_id}/pause").status_code == 200
    every_second = schedule(service, f"{sink.url}/second", cron_expression=EVERY_SECOND)
    ever = service.submit(api_url=f"{sink.url}/delayed", task_type="delayed", delay_seconds=60)["id"]
    expired = service.submit(api_url=f"{sink.url}/late", task_type="delayed", delay_seconds=60, expires_in=900)["id"]
    with client_of(service.redis_port) as client:
        put_back(client, *(task_id for ids in of.values() for task_id in ids), every_second, ever, expired)
        first_due = int(client.hget(f"{{tms}}:task:{every_second}", "due") or 0)
    service.start("beat")

    expected = {
        "once": did(1, misfire=MISSED - 1),
        "skip": did(0, misfire=MISSED),
        "all": did(4, misfire=MISSED - 4),
        "all in turn": did(4, misfire=MISSED - 4),
        "all but busy": did(1, misfire=MISSED - 4, overlap=3),
        "paused": did(0, paused=MISSED),
    }
    for name, counts in expected.items():
        for task_id in of[name]:
            rows = settled(service, task_id, MISSED)
            assert outcomes(rows) == counts, name
            assert len({row["due_at"] for row in rows}) == MISSED
            # What runs is the newest of what was missed; nothing that ran waits for older ones.
            ran = [row["status"] == "succeeded" for row in rows if row["reason"] != "overlap"]
            assert ran == sorted(ran), name
    (few,) = of["few left"]
    assert outcomes(settled(service, few, MISSED - 2)) == did(2, misfire=MISSED - 4)
    assert service.task(few)["status"] == "completed"
    assert service.finished(ever)["status"] == "succeeded"
    assert service.finished(expired)["status"] == "expired"
    in_turn = [row for row in settled(service, of["all in turn"][0], MISSED) if row["status"] == "succeeded"]
    assert all(one["finished_at"] <= two["started_at"] for one, two in pairwise(in_turn))
    whole_hour_is_told(service, every_second, first_due)
    called = Counter(sink.calls)
    called.pop("/second")
    assert called == {"/once": 20, "/all": 4, "/turn": 4, "/slow": 1, "/few": 2, "/delayed": 1}


def whole_hour_is_told(service: Service, task_id: str, first_due: int) -> None:
    """Of 3600 missed seconds one ran, and each is a row or is counted; afterwards it fires as before."""
    wait_for("punctual runs", lambda: service.task(task_id)["run_count"] >= 104)
    service.call("POST", f"/api/tasks/{task_id}/pause")
    wait_for("the last run", lambda: all(run["finished_at"] for run in runs_of(service, task_id)))
    rows = runs_of(service, task_id)
    seconds = [round(datetime.fromisoformat(row["due_at"]).timestamp()) for row in rows]
    assert seconds == list(range(seconds[0], seconds[-1] + 1))
    # As many occurrences as were skipped since have pushed the oldest rows of the missed ones out.
    since = [row for row in rows if row["reason"] in ("overlap", "paused")]
    assert service.task(task_id)["skipped_unlisted"] + len(since) == seconds[0] - first_due // 1000
    assert seconds[0] - first_due // 1000 > 3300
    misfired = [row for row in rows if row["reason"] == "misfire"]
    assert len(misfired) == 100 - len(since)
    # The newest one stands for all that was missed, and what came later was on time.
    assert rows[: len(misfired)] == misfired
    assert all(row["status"] == "succeeded" or row in since for row in rows[len(misfired) :])
