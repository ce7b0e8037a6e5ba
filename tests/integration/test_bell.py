"""The bell's messages are those of Celery itself, and a worker that knows nothing of ours consumes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

import celery_app
from config.settings import load
from tasks.model import Priority, Task
from tasks.store import Batch, Entry
from tests.integration.service import Service, wait_for
from tests.make import make_task

RUNS = [f"0192f0c1d2e3f4a5b6c7.{number}" for number in range(1, 201)]
#: Of every message its own, or of the process that sent it.
OWN = {"delivery_tag", "origin", "reply_to"}

STOCK = """
import os, redis
from celery import Celery
app = Celery("stock", broker=os.environ["BROKER"])
app.conf.update(
    broker_transport_options={"global_keyprefix": "{tms}:bell:"}, task_default_queue="runs", task_ignore_result=True,
    worker_hijack_root_logger=False, broker_connection_retry_on_startup=True,
)
@app.task(name="tasks.execute")
def execute(run_id):
    redis.Redis.from_url(os.environ["BROKER"]).rpush("heard", run_id)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    service.start("redis")
    yield service
    service.stop()


def app_of(service: Service) -> celery_app.TaskApp:
    return celery_app.build(load(redis_host="127.0.0.1", redis_port=service.redis_port, data_dir=service.folder))


def taken(client: redis.Redis) -> tuple[str, dict[str, Any]]:
    """The only message there is, and the list that it was in."""
    (key,) = [key for key in client.keys("*bell*") if client.type(key) == "list"]
    return str(key), json.loads(client.rpop(key))


def as_read(message: dict[str, Any]) -> dict[str, Any]:
    """What the worker sees of it, without what is each message's own."""
    from kombu.transport.virtual import Channel

    properties = dict(message["properties"])
    encoding = properties.pop("body_encoding")
    body = message["body"] if encoding == "utf-8" else Channel.codecs[encoding].decode(message["body"])
    body = json.loads(body)
    return {
        "body": body,
        "content": (message["content-type"], message["content-encoding"]),
        "headers": {name: value for name, value in message["headers"].items() if name not in OWN},
        "properties": {name: value for name, value in properties.items() if name not in OWN},
    }


@pytest.mark.parametrize("priority", list(Priority))
def test_a_bell_is_the_message_that_celery_would_have_sent(server: Service, priority: Priority) -> None:
    client = redis.Redis(port=server.redis_port, decode_responses=True)
    app = app_of(server)
    number = celery_app.PRIORITIES[priority]
    app.tasks["tasks.execute"].apply_async((RUNS[0],), task_id=RUNS[0], priority=number)
    expected_key, expected = taken(client)
    app.bell.ring([RUNS[0]], priority)
    key, message = taken(client)
    assert key == expected_key
    assert as_read(message) == as_read(expected)
    assert message["properties"]["delivery_tag"]
    app.close()
    client.close()


def batch_of(task: Task, app: celery_app.TaskApp) -> Batch:
    entry = Entry(task=task, delay=None, losses=1)
    return Batch(entries=[entry], owner="me", history=1, letters=app.bell.letters)


@pytest.mark.parametrize("priority", list(Priority))
def test_the_store_rings_with_the_same_message_in_the_step_that_stores_the_task(
    server: Service, priority: Priority
) -> None:
    client = redis.Redis(port=server.redis_port, decode_responses=True)
    app = app_of(server)
    task = make_task(priority=priority)
    ((_, rings),) = app.store.submit_all(batch_of(task, app))
    assert not rings
    assert client.info("commandstats")["cmdstat_lpush"]["calls"] == 1
    key, message = taken(client)
    run_id = f"{task.id}.1"
    app.tasks["tasks.execute"].apply_async((run_id,), task_id=run_id, priority=celery_app.PRIORITIES[priority])
    expected_key, expected = taken(client)
    assert key == expected_key
    assert as_read(message) == as_read(expected)
    assert message["properties"]["delivery_tag"] == f"first-{run_id}"
    app.close()
    client.close()


def test_many_bells_are_one_push_with_a_delivery_each(server: Service) -> None:
    client = redis.Redis(port=server.redis_port, decode_responses=True)
    app = app_of(server)
    app.bell.ring(RUNS)
    app.bell.ring([])
    assert client.info("commandstats")["cmdstat_lpush"]["calls"] == 1
    (key,) = client.keys("*bell*")
    messages = [json.loads(text) for text in client.lrange(key, 0, -1)]
    assert [message["headers"]["id"] for message in reversed(messages)] == RUNS
    assert len({message["properties"]["delivery_tag"] for message in messages}) == len(RUNS)
    client.close()


def test_a_stock_worker_hears_every_bell(server: Service, tmp_path: Path) -> None:
    (tmp_path / "stock.py").write_text(STOCK, encoding="utf-8")
    client = redis.Redis(port=server.redis_port, decode_responses=True)
    app = app_of(server)
    for number, run_id in enumerate(RUNS):
        app.bell.ring([run_id], Priority.HIGH if number % 2 else Priority.NORMAL)
    stored = []
    for priority in Priority:  # fewer than RING_AT_MOST, so that the Store rings for each
        for _ in range(4):
            task = make_task(priority=priority)
            app.store.submit_all(batch_of(task, app))
            stored.append(f"{task.id}.1")
    broker = f"redis://127.0.0.1:{server.redis_port}/0"
    with (tmp_path / "stock.out").open("wb") as out:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "stock", "worker", "--pool=threads", "--concurrency=4"],
            cwd=tmp_path,
            env={**os.environ, "BROKER": broker, "PYTHONPATH": str(tmp_path)},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for("every bell heard", lambda: client.llen("heard") >= len(RUNS) + len(stored), seconds=60)
    finally:
        worker.terminate()
        worker.wait(30)
    assert sorted(client.lrange("heard", 0, -1)) == sorted([*RUNS, *stored])
    client.close()


def test_a_bell_that_redis_does_not_take_is_only_a_warning(server: Service, caplog: pytest.LogCaptureFixture) -> None:
    app = app_of(server)
    server.kill("redis")
    app.bell.ring([RUNS[0]])
    assert "bell not rung" in caplog.text


def test_a_worker_acknowledges_nothing_and_tells_of_every_bell(tmp_path: Path) -> None:
    service = Service(tmp_path)
    told: list[dict[str, Any]] = []
    try:
        service.start("redis", "api", "worker")
        client = redis.Redis(port=service.redis_port, decode_responses=True)
        app = app_of(service)
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": told.append})
            listening = threading.Thread(target=receiver.capture, kwargs={"wakeup": False})
            listening.start()
            wait_for("a heartbeat", lambda: told)
            transactions = calls(client, "multi")
            tasks = [service.code("def f(n):\n    return n", number)["id"] for number in range(8)]
            for task_id in tasks:
                service.finished(task_id)
            assert calls(client, "multi") - transactions < len(tasks)  # some are kombu's own, now and then
            for kind in ("task-received", "task-started", "task-succeeded"):
                wait_for(kind, lambda kind=kind: told_of(told, kind) >= {f"{tasks[0]}.1"})
            receiver.should_stop = True
            listening.join(10)
        assert not [key for key in client.keys("*unacked*") if client.type(key) != "string"]
        client.close()
    finally:
        service.stop()


def calls(client: redis.Redis, command: str) -> int:
    """How often Redis has been given a command."""
    return int(client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


def told_of(told: list[dict[str, Any]], kind: str) -> set[str]:
    """Deliveries of which there was an event of that kind."""
    return {event["uuid"] for event in told if event["type"] == kind}
