"""Redis behind Sentinels: its master dies under the service, another takes over, and everything goes on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from config.settings import Settings, load
from supervision import redis_server
from supervision.problems import CannotStart
from tasks.errors import StoreUnavailable
from tasks.store import Store
from tests.integration.service import CELERY, free_port, wait_for
from tests.integration.sink import Sink
from tests.integration.watched import MASTER, PASSWORD, SENTINEL_PASSWORD, SENTINELS, SERVERS, Watched, client_of

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

QUICK = "def f(x):\n    return x\n"


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    service = Watched(tmp_path, FLOWER_PORT=str(free_port()), FLOWER_BASIC_AUTH="me:flower")
    service.commands = {**service.commands, "flower": (*CELERY, "flower")}
    try:
        yield service
    finally:
        service.stop()


def flower_answers(service: Watched) -> bool:
    try:
        address = f"http://127.0.0.1:{service.environment['FLOWER_PORT']}/workers?json=1"
        return requests.get(address, auth=("me", "flower"), timeout=5).status_code == 200
    except requests.RequestException:
        return False


def is_healthy(service: Watched) -> bool:
    return service.call("GET", "/api/health").json()["status"] == "healthy"


def every_output(service: Watched) -> str:
    names = ("api", "worker", "beat", "flower")
    return "".join((service.folder / f"{name}.out").read_text(errors="replace") for name in names)


def settings_of(service: Watched, **over: object) -> Settings:
    given = {name.lower(): text for name, text in service.environment.items() if name.startswith("REDIS_")}
    return load(**{**given, "data_dir": service.folder / "var", **over})


def test_start_finds_the_master_through_the_sentinels_and_says_what_is_wrong_with_them(watched: Watched) -> None:
    watched.raise_all()
    watched.kill(SENTINELS[0])
    found = redis_server.find(settings_of(watched))
    assert found is not None
    assert found.warnings == []
    with pytest.raises(CannotStart, match=r"cannot be reached.*knows no such master.*correct REDIS_SENTINELS"):
        redis_server.find(settings_of(watched, redis_sentinel_master="other"))
    with pytest.raises(CannotStart, match="refuses us: WRONGPASS"):
        redis_server.find(settings_of(watched, redis_sentinel_password="wrong"))
    with pytest.raises(CannotStart, match="refuses us: NOAUTH"):
        redis_server.find(settings_of(watched, redis_sentinel_password=None))
    with pytest.raises(CannotStart, match=r"Redis on tasks \(Sentinels .*\) refuses us .*correct REDIS_PASSWORD"):
        redis_server.find(settings_of(watched, redis_password="wrong"))
    own = f"127.0.0.1:{watched.ports['redis']}"
    with pytest.raises(CannotStart, match=r"does not answer as a Sentinel does|refuses us"):
        redis_server.find(settings_of(watched, redis_sentinels=own))


def test_the_store_asks_the_next_sentinel_where_the_first_is_frozen(watched: Watched) -> None:
    watched.raise_all()
    watched.processes[SENTINELS[0]].send_signal(signal.SIGSTOP)
    store = Store(settings_of(watched).redis_address, timeout=3)
    assert store.health(())["queues"] == {"due": 0, "running": 0, "held": 0}
    store.close()
    nobody = Store(settings_of(watched, redis_sentinel_master="other").redis_address, timeout=3)
    with pytest.raises(StoreUnavailable):
        nobody.health(())
    nobody.close()


def test_a_master_that_dies_is_replaced_and_nothing_that_was_copied_is_lost(watched: Watched, sink: Sink) -> None:
    service = watched
    service.raise_all("api", "worker", "beat", "flower")
    wait_for("flower", lambda: flower_answers(service), seconds=60)
    done = service.finished(service.code(QUICK, "done")["id"])
    scheduled = service.code(QUICK, 1, task_type="scheduled", cron_expression="* * * * * *")["id"]
    delayed = service.code(QUICK, "later", task_type="delayed", delay_seconds=4)["id"]
    call = service.running(service.submit(api_url=f"{sink.url}/slow")["id"])["id"]
    with client_of(service.ports["redis"]) as client:
        service.copied(client)
    service.kill("redis")
    # One of the Sentinels goes with it, as where they share a machine.
    service.kill(SENTINELS[0])

    wait_for("another master", lambda: service.master() == "redis2")
    wait_for("health", lambda: is_healthy(service))
    assert service.finished(call)["status"] == "succeeded"
    assert sink.calls == ["/slow"]
    assert service.finished(delayed)["result"] == "later"
    assert service.task(done["id"]) == done
    assert service.finished(service.code(QUICK, "new")["id"])["result"] == "new"
    seen = service.task(scheduled)["run_count"]
    wait_for("the schedule", lambda: service.task(scheduled)["run_count"] >= seen + 2)

    # The old master comes back as a replica, and becomes the master again by command.
    service.start("redis")
    with client_of(service.ports["redis2"]) as client:
        service.copied(client)
    # A Sentinel sees a promotion about once a second, and gives up for good when its time is over.
    assert service.asked(SENTINELS[1], "sentinel_set", MASTER, "failover-timeout", 60_000)
    wait_for("the way back", lambda: service.asked(SENTINELS[1], "sentinel_failover", MASTER))
    wait_for("the first master", lambda: service.master() == "redis")
    wait_for("health", lambda: is_healthy(service))
    assert service.finished(service.code(QUICK, "again")["id"])["result"] == "again"
    assert flower_answers(service)
    ours = [name for name in service.processes if name not in (*SERVERS, *SENTINELS)]
    assert {name: service.processes[name].poll() for name in ours} == dict.fromkeys(ours)
    dues = [run["due_at"] for run in service.call("GET", f"/api/tasks/{scheduled}/runs?limit=500").json()["runs"]]
    assert len(dues) == len(set(dues))
    said = every_output(service)
    assert PASSWORD not in said
    assert SENTINEL_PASSWORD not in said
