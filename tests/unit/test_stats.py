"""Counts: what the scripts count, and how /api/stats and /metrics tell it."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import pytest

from tasks.model import Status
from tasks.store import BUCKETS, Store
from tests.api import Api
from tests.make import code_body, end, http_body, submit, take

S = Status


def test_nothing_is_counted_before_the_first_task(store: Store) -> None:
    tally = store.counters.read(2)
    assert (tally.tasks, tally.first_due, tally.submitted, tally.ended, tally.delays) == (0, None, {}, {}, {})
    assert tally.by_status == dict.fromkeys(Status, 0)
    assert tally.minutes == [{}, {}]


def test_tasks_and_runs_are_counted_as_they_move(store: Store) -> None:
    for status in (S.SUCCEEDED, S.FAILED):
        submit(store)
        claimed = take(store)
        end(store, claimed, status=status)
    stopped = submit(store, kind="http")
    store.stop(stopped.id)
    tally = store.counters.read(1)
    assert tally.submitted == {("immediate", "code"): 2, ("immediate", "http"): 1}
    assert tally.ended == {("code", "succeeded"): 1, ("code", "failed"): 1, ("http", "stopped"): 1}
    assert tally.tasks == 3
    assert (tally.by_status[S.SUCCEEDED], tally.by_status[S.STOPPED], tally.by_status[S.QUEUED]) == (1, 1, 0)
    assert sum(tally.delays["code"].counts) == sum(tally.durations["code"].counts) == 2
    assert "http" not in tally.durations
    assert tally.minutes[0].get("submitted") == 3 or store.counters.read(2).minutes[1]


def test_an_attempt_that_is_repeated_counts_once(store: Store) -> None:
    submit(store)
    end(store, take(store), status=S.FAILED, retry_after=0)
    assert store.counters.read(0).ended == {}
    store.due(500)
    end(store, take(store), status=S.SUCCEEDED)
    tally = store.counters.read(0)
    assert tally.ended == {("code", "succeeded"): 1}
    assert sum(tally.delays["code"].counts) == 1


def test_a_deleted_task_stays_counted(store: Store) -> None:
    task = submit(store)
    store.delete(task.id)
    tally = store.counters.read(0)
    assert (tally.tasks, tally.submitted) == (0, {("immediate", "code"): 1})


def test_storing_the_same_task_again_counts_once(store: Store) -> None:
    task = submit(store)
    store.submit(task, delay=None, losses=3, history=10)
    assert store.counters.read(0).submitted == {("immediate", "code"): 1}


def test_a_minute_is_forgotten_after_an_hour(store: Store) -> None:
    submit(store)
    keys = store.connection.command("KEYS", "{tms}:counters:*")
    assert [3600 < store.connection.command("TTL", key) <= 3700 for key in keys] == [True]


@pytest.mark.parametrize("ms", [0, BUCKETS[0], BUCKETS[0] + 1, BUCKETS[-1] + 1])
def test_a_span_falls_into_its_bucket(store: Store, ms: int) -> None:
    run = f"{{tms}}:run:{submit(store).id}.1"
    due = int(store.counters.read(0).now) - ms
    store.connection.command("HSET", run, "due", due)
    take(store)
    delay = int(store.connection.command("HGET", run, "started")) - due
    assert delay >= ms
    counts = list(store.counters.read(0).delays["code"].counts)
    assert sum(counts) == 1
    assert counts.index(1) == bisect_left(BUCKETS, delay)


def test_stats_tell_what_is_there_and_what_happened(api: Api) -> None:
    api.post("/api/tasks", code_body())
    api.post("/api/tasks", http_body(task_type="delayed", delay_seconds=60))
    told = api.get("/api/stats").json
    assert told["tasks"]["total"] == 2
    assert {name: n for name, n in told["tasks"]["by_status"].items() if n} == {"queued": 1, "scheduled": 1}
    assert told["kinds"]["code"] == {
        "submitted": {"immediate": 1}, "ended": {}, "mean_delay": None, "mean_duration": None,
    }  # fmt: skip
    assert told["last_hour"] == {"submitted": 2, "ended": {}}
    assert len(told["minutes"]) == 60
    assert told["late_by"] == 0


def test_how_late_the_earliest_due_moment_is(api: Api, store: Store) -> None:
    task = api.post("/api/tasks", code_body(task_type="delayed", delay_seconds=60)).json
    store.connection.command("ZADD", "{tms}:due", 1000, f"{task['id']}.1")
    assert api.get("/api/stats").json["late_by"] > 1_000_000


def metrics(api: Api) -> dict[str, float]:
    from prometheus_client.parser import text_string_to_metric_families

    answer = api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    found: dict[str, Any] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(sample.labels[name] for name in sorted(sample.labels))
            found[f"{sample.name}({labels})"] = sample.value
    return found


def test_metrics_are_what_prometheus_reads(api: Api, store: Store) -> None:
    api.post("/api/tasks", code_body())
    claimed = take(store)
    end(store, claimed, status=S.SUCCEEDED)
    api.post("/api/tasks", http_body())
    found = metrics(api)
    assert found["tms_tasks_submitted_total(code,immediate)"] == 1
    assert found["tms_runs_ended_total(code,succeeded)"] == 1
    assert found["tms_queue_runs(http)"] == 1
    assert found["tms_tasks(succeeded)"] == 1
    assert found["tms_beat_alive()"] == 0
    buckets = [value for name, value in found.items() if name.startswith("tms_run_delay_seconds_bucket")]
    assert len(buckets) == len(BUCKETS) + 1
    assert buckets == sorted(buckets)
    assert found["tms_run_delay_seconds_bucket(code,+Inf)"] == found["tms_run_delay_seconds_count(code)"] == 1


def test_metrics_before_the_first_task(api: Api) -> None:
    assert metrics(api)["tms_tasks(queued)"] == 0
