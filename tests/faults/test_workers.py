"""Workers are killed by their own tasks, run out of memory, freeze, and are replaced while tasks keep coming."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.memory_group import MemoryGroup
from tests.http_server import Seen, Server
from tests.integration.service import Service, client_of, wait_for
from tests.integration.sink import Sink

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

ENDLESS = "def f():\n    while True:\n        pass\n"
QUICK = "def f(n):\n    return n\n"
BUSY = """
def f(seconds):
    import datetime
    end = datetime.datetime.now() + datetime.timedelta(seconds=seconds)
    while datetime.datetime.now() < end:
        pass
    return 'done'
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose workers the tests of this file end; each leaves one worker behind."""
    large = {"HTTP_MAX_RESPONSE_BYTES": "60000000", "MAX_RESULT_BYTES": "60000000"}
    service = Service(tmp_path_factory.mktemp("service"), GRACE_SECONDS="30", **large)
    try:
        service.start("redis", "api", "worker", "beat")
        yield service
    finally:
        service.stop()


def end_leases(service: Service) -> None:
    """What a lease's length of silence does: whoever holds a run now does not hold it any more."""
    with client_of(service.redis_port) as client:
        client.zadd("{tms}:leases", dict.fromkeys(client.zrange("{tms}:leases", 0, -1), 0), xx=True)


def taken_away(service: Service, *task_ids: str) -> list[dict[str, Any]]:
    """The tasks once Beat has taken them from their worker."""
    end_leases(service)
    return [
        wait_for("the reaper", lambda: (task := service.task(each))["status"] != "running" and task)  # noqa: B023
        for each in task_ids
    ]


def told(task: dict[str, Any]) -> tuple[Any, ...]:
    """What must not change any more once a task has ended."""
    return task["status"], task["reason"], task["attempt"], task["finished_at"], task["result"], task["last_run"]


def test_a_poison_task_ends_lost_after_its_attempts_and_the_others_are_done(service: Service, sink: Sink) -> None:
    code = service.code(ENDLESS, timeout=600)["id"]
    call = service.submit(api_url=f"{sink.url}/hang/once", timeout=60)["id"]
    again = service.submit(api_url=f"{sink.url}/hang/again", timeout=60, retry={"max": 1, "backoff": 0})["id"]
    others: list[str] = []
    # Each is performed for as often as it may be; each time its worker dies.
    for turn, poison in enumerate(([code, call, again], [code, again], [code])):
        for task_id in poison:
            service.running(task_id)
        wait_for("the calls", lambda: sum("hang" in path for path in sink.calls) == (2, 3, 3)[turn])  # noqa: B023
        for task_id in others:
            assert service.finished(task_id)["status"] == "succeeded"
        service.kill("worker")
        others += [service.code(QUICK, turn)["id"], service.submit(api_url=f"{sink.url}/fine/{turn}")["id"]]
        statuses = [task["status"] for task in taken_away(service, *poison)]
        service.start("worker")
        assert statuses == [["queued", "lost", "queued"], ["queued", "lost"], ["lost"]][turn]
    ended = service.finished(code)
    assert (ended["status"], ended["reason"]) == ("lost", "worker_lost")
    assert [attempt["status"] for attempt in ended["last_run"]["attempts"]] == ["lost"] * 3
    assert [service.task(each)["attempt"] for each in (call, again)] == [1, 2]
    assert sink.keys["/hang/again"] == [service.task(again)["last_run"]["id"]] * 2
    assert sink.keys["/hang/once"] == [""]
    for task_id in others:
        assert service.finished(task_id)["status"] == "succeeded"
    assert sorted(path for path in sink.calls if "fine" in path) == ["/fine/0", "/fine/1", "/fine/2"]


def test_a_worker_frozen_past_its_lease_changes_nothing_when_it_wakes(service: Service, sink: Sink) -> None:
    code = service.code(BUSY, 1)["id"]
    call = service.submit(api_url=f"{sink.url}/slow/call")["id"]
    again = service.submit(api_url=f"{sink.url}/slow/again", retry={"max": 3, "backoff": 0})["id"]
    for task_id in (code, call, again):
        service.running(task_id)
    wait_for("the calls", lambda: len(sink.calls) == 2)
    frozen = service.processes["worker"]
    frozen.send_signal(signal.SIGSTOP)
    service.start("worker2")
    assert taken_away(service, call)[0]["status"] == "lost"
    before = {each: told(service.finished(each)) for each in (code, call, again)}
    assert [before[each][:3] for each in (code, call, again)] == [
        ("succeeded", None, 2),
        ("lost", "worker_lost", 1),
        ("succeeded", None, 2),
    ]
    frozen.send_signal(signal.SIGCONT)
    assert service.kill("worker2", signal.SIGTERM) == 0
    # The one that woke has by now all that its own attempts came to, and goes on with new work.
    assert service.finished(service.code(QUICK, 7)["id"])["result"] == 7
    wait_for(
        "idle worker", lambda: [one["running"] for one in service.call("GET", "/api/health").json()["workers"]] == [0]
    )
    assert {each: told(service.task(each)) for each in before} == before
    assert sorted(sink.calls) == ["/slow/again", "/slow/again", "/slow/call"]
    assert sink.keys["/slow/again"] == [service.task(again)["last_run"]["id"]] * 2
    assert frozen.poll() is None


def test_a_beat_that_is_back_before_the_workers_takes_nothing_from_them(service: Service, sink: Sink) -> None:
    """After Redis, or the whole machine, was away for longer than a lease, workers are given time to be heard again."""
    code = service.running(service.code(BUSY, 1)["id"])["id"]
    call = service.running(service.submit(api_url=f"{sink.url}/slow/away")["id"])["id"]
    frozen = [service.processes[name] for name in ("worker", "beat")]
    for process in frozen:
        process.send_signal(signal.SIGSTOP)
    # Beat looks for leases every five seconds, so that it will at once. What was away for a minute is put back so far.
    time.sleep(5.5)
    with client_of(service.redis_port) as client:
        now = int(client.time()[0]) * 1000
        client.set("{tms}:beat", now - 60_000)
        client.zadd("{tms}:leases", dict.fromkeys(client.zrange("{tms}:leases", 0, -1), now - 20_000), xx=True)
        frozen[1].send_signal(signal.SIGCONT)
        wait_for("a tick of Beat", lambda: int(client.get("{tms}:beat") or 0) > now + 1000)
    assert {service.task(each)["status"] for each in (code, call)} == {"running"}
    frozen[0].send_signal(signal.SIGCONT)
    for task_id in (code, call):
        task = service.finished(task_id)
        assert (task["status"], task["attempt"]) == ("succeeded", 1)
    assert sink.calls == ["/slow/away"]


@pytest.fixture
def small() -> Iterator[MemoryGroup]:
    group = MemoryGroup(32 << 20)
    try:
        group.__enter__()
    except OSError as error:
        pytest.skip(f"this machine lets us make no control group: {error}")
    yield group
    group.__exit__()


def much(_: Seen, connection: Any) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000000\r\n\r\n")
    for _ in range(60):
        connection.sendall(b"x" * 1_000_000)


def test_a_worker_that_the_kernel_kills_for_want_of_memory_loses_nothing(service: Service, small: MemoryGroup) -> None:
    code = service.running(service.code(BUSY, 600, timeout=600)["id"])["id"]
    small.join(service.processes["worker"].pid)
    with Server(much) as server:
        calls = [service.submit(api_url=server.url())["id"] for _ in range(3)]
        assert service.processes["worker"].wait(60) == -signal.SIGKILL
        assert small.kills == 1
        assert {task["status"] for task in taken_away(service, *calls)} <= {"lost", "queued"}
        service.start("worker")
        ended = [service.finished(task_id) for task_id in calls]
    # Each that had begun is lost, since nobody knows how far it came; each that had not is done now. None began twice.
    assert {task["status"] for task in ended} <= {"lost", "succeeded"}
    assert [task["attempt"] for task in ended] == [1, 1, 1]
    assert server.connections <= 3
    assert "lost" in {task["status"] for task in ended}
    assert service.running(code)["attempt"] == 2
    assert service.call("DELETE", f"/api/tasks/{code}").status_code == 204


class Load(threading.Thread):
    """Submits quick and slow tasks of both kinds until it is told to end."""

    def __init__(self, service: Service, sink: Sink) -> None:
        super().__init__()
        self.service, self.sink = service, sink
        self.over = threading.Event()
        self.calls: dict[str, str] = {}
        self.codes: list[str] = []

    def run(self) -> None:
        count = 0
        while not self.over.wait(0.15):
            count += 1
            path = f"/slow/{count}" if count % 8 == 0 else f"/quick/{count}"
            self.calls[path] = self.service.submit(api_url=f"{self.sink.url}{path}")["id"]
            source, argument = (BUSY, 0.5) if count % 8 == 0 else (QUICK, count)
            self.codes.append(self.service.code(source, argument)["id"])


def test_workers_replaced_one_after_the_other_under_load_lose_and_repeat_nothing(service: Service, sink: Sink) -> None:
    service.start("worker2")
    load = Load(service, sink)
    load.start()
    try:
        for name in ("worker", "worker2"):
            time.sleep(1)
            assert service.kill(name, signal.SIGTERM) == 0
            service.start(name)
    finally:
        load.over.set()
        load.join()
    for task_id in (*load.calls.values(), *load.codes):
        task = service.finished(task_id, seconds=60)
        assert (task["status"], task["attempt"]) == ("succeeded", 1)
    assert sorted(sink.calls) == sorted(load.calls)
    assert len(load.codes) > 20
    assert service.kill("worker2", signal.SIGTERM) == 0
