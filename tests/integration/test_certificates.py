"""A task that names an authority of its own, from the API through a worker to a server with TLS and back."""

from __future__ import annotations

from pathlib import Path

from tests.certificates import Authority
from tests.http_server import Server, answer
from tests.integration.service import Service


def test_a_worker_believes_the_authority_that_the_task_names_and_only_for_that_task(
    service: Service, tmp_path: Path
) -> None:
    inner = Authority("Inner Root")
    context, _ = inner.server(tmp_path, "localhost")
    with Server(lambda _seen, _connection: answer("inner"), tls=context) as server:
        url = server.url(host="localhost")
        named = service.submit(api_url=url, ca_certificate=inner.pem)
        unnamed = service.submit(api_url=url)
        other = service.submit(api_url=url, ca_certificate=Authority("Inner Root").pem)
        done = service.finished(named["id"])
        assert (done["status"], done["result"]["body"]) == ("succeeded", "inner")
        for refused in (unnamed, other):
            task = service.finished(refused["id"])
            assert (task["status"], task["error"]["code"]) == ("failed", "tls_failed")
        assert len(server.seen) == 1
    assert done["ca_certificate"] == inner.pem
    listed = service.call("GET", "/api/tasks?kind=http").json()["tasks"]
    assert all("ca_certificate" not in task for task in listed)
