"""Retries through the whole service: what is tried again, when, how often, and what is kept of each attempt."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import formatdate
from functools import partial
from typing import Any

import pytest

from tests.http_server import Seen, Server, answer
from tests.integration.service import Service, wait_for

OK = answer('{"ok": true}', content_type="application/json")


class Target:
    """Another side that answers as the test says, and notes when each call came and with which key."""

    def __init__(self) -> None:
        self.answers: list[bytes | Callable[[socket.socket], None]] = []
        self.came: list[float] = []
        self.keys: list[str | None] = []

    def __call__(self, seen: Seen, connection: socket.socket) -> bytes | None:
        self.came.append(time.monotonic())
        self.keys.append(seen.headers.get("Idempotency-Key"))
        following = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(following, bytes):
            return following
        following(connection)
        return None

    @property
    def gaps(self) -> list[float]:
        """Seconds between one call and the next."""
        return [later - earlier for earlier, later in zip(self.came, self.came[1:], strict=False)]


@pytest.fixture
def target() -> Target:
    return Target()


@pytest.fixture
def server(target: Target) -> Iterator[Server]:
    with Server(target) as server:
        yield server


def retry(**fields: Any) -> dict[str, Any]:
    return {"max": 2, "backoff": 0.1, "jitter": 0, **fields}


def seconds(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def test_a_call_that_goes_better_the_third_time_succeeds_and_keeps_each_attempt(
    service: Service, server: Server, target: Target
) -> None:
    target.answers = [answer(status=503), answer(status=500), OK]
    task = service.finished(service.submit(api_url=server.url(), retry=retry(max=5))["id"])
    assert (task["status"], task["attempt"], task["result"]["json"]) == ("succeeded", 3, {"ok": True})
    attempts = task["last_run"]["attempts"]
    assert [(each["number"], each["status"], each["code"]) for each in attempts] == [
        (1, "failed", "unexpected_status"),
        (2, "failed", "unexpected_status"),
        (3, "succeeded", None),
    ]
    for each in attempts:
        assert each["worker"]
        assert each["started_at"] <= each["finished_at"]
    # One key for the run, however often it is tried, so that the receiver can tell.
    assert target.keys == [task["last_run"]["id"]] * 3


def test_after_the_last_attempt_the_run_fails_with_what_came_of_it(
    service: Service, server: Server, target: Target
) -> None:
    target.answers = [answer(status=503), answer("sorry", status=502)]
    task = service.finished(service.submit(api_url=server.url(), retry=retry(max=2))["id"])
    assert (task["status"], task["reason"], task["attempt"]) == ("failed", "unexpected_status", 3)
    assert (task["result"]["status_code"], task["result"]["body"]) == (502, "sorry")
    assert len(target.came) == len(task["last_run"]["attempts"]) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_an_answer_that_will_not_change_is_never_asked_for_again(
    service: Service, server: Server, target: Target, status: int
) -> None:
    target.answers = [answer(status=status)]
    task = service.finished(service.submit(api_url=server.url(), retry=retry())["id"])
    assert (task["status"], task["attempt"], len(target.came)) == ("failed", 1, 1)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_an_answer_that_may_pass_is_asked_for_again(
    service: Service, server: Server, target: Target, status: int
) -> None:
    target.answers = [answer(status=status), OK]
    task = service.finished(service.submit(api_url=server.url(), retry=retry())["id"])
    assert (task["status"], task["attempt"], len(target.came)) == ("succeeded", 2, 2)


@pytest.mark.parametrize(
    ("on", "status", "calls"),
    [(["5xx"], 502, 3), (["503"], 503, 3), (["503"], 502, 1), (["4xx"], 404, 3), (["5xx"], 429, 1)],
)
def test_on_names_the_statuses_and_classes_that_are_tried_again_and_no_others(
    service: Service, server: Server, target: Target, on: list[str], status: int, calls: int
) -> None:
    target.answers = [answer(status=status)]
    task = service.finished(service.submit(api_url=server.url(), retry=retry(on=on))["id"])
    assert (task["status"], len(target.came), len(task["last_run"]["attempts"])) == ("failed", calls, calls)


def hang_up(connection: socket.socket) -> None:
    connection.close()


def hang(connection: socket.socket) -> None:
    connection.recv(1)


@pytest.mark.parametrize(
    ("trouble", "timeout", "code", "on", "calls"),
    [
        (hang_up, 20, "connection_lost", [], 3),
        (hang_up, 20, "connection_lost", ["connection_lost"], 3),
        (hang_up, 20, "connection_lost", ["timed_out", "5xx"], 1),
        (hang, 0.4, "timed_out", ["timed_out"], 3),
        (hang, 0.4, "timed_out", ["connection_lost"], 1),
    ],
)
def test_on_names_codes_too(
    service: Service,
    server: Server,
    target: Target,
    trouble: Any,
    timeout: float,
    code: str,
    on: list[str],
    calls: int,
) -> None:
    target.answers = [trouble]
    task = service.finished(service.submit(api_url=server.url(), timeout=timeout, retry=retry(on=on))["id"])
    assert (task["reason"], task["attempt"]) == (code, calls)


def test_a_decision_is_never_tried_again_even_where_on_names_it(
    service: Service, server: Server, target: Target
) -> None:
    target.answers = [answer(status=302, location="http://10.0.0.1/")]
    task = service.finished(service.submit(api_url=server.url(), retry=retry(on=["address_not_allowed"]))["id"])
    assert (task["status"], task["reason"], len(target.came)) == ("failed", "address_not_allowed", 1)


def test_code_that_raises_is_tried_again_where_on_says_so_and_only_there(service: Service) -> None:
    source = "def f():\n    print('here')\n    raise ValueError('no')\n"
    once = service.finished(service.code(source, retry=retry())["id"])
    assert (once["status"], once["attempt"]) == ("failed", 1)
    task = service.finished(service.code(source, retry=retry(on=["code_raised"]))["id"])
    assert (task["status"], task["reason"], task["attempt"], task["stdout"]) == ("failed", "code_raised", 3, "here\n")
    assert [each["code"] for each in task["last_run"]["attempts"]] == ["code_raised"] * 3


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(service: Service, server: Server, target: Target, form: str) -> None:
    # A date has no fractions, so the last second may be cut by nearly one.
    after = "2" if form == "seconds" else formatdate(time.time() + 3, usegmt=True)
    target.answers = [answer(status=503, retry_after=after), OK]
    task = service.finished(service.submit(api_url=server.url(), retry=retry(backoff=0))["id"])
    assert (task["status"], task["attempt"]) == ("succeeded", 2)
    assert target.gaps[0] >= 1.9


def waits(service: Service, task_id: str) -> Iterator[float]:
    """Seconds until each next attempt, as the task tells them; each attempt is then started by hand."""
    for number in range(1, 100):
        task = wait_for("the retry", partial(failed_attempt, service, task_id, number))
        attempts = task["last_run"]["attempts"]
        assert len(attempts) == number
        yield seconds(attempts[-1]["finished_at"], task["next_run_at"])
        assert service.call("POST", f"/api/tasks/{task_id}/run").status_code == 201


def failed_attempt(service: Service, task_id: str, number: int) -> dict[str, Any] | None:
    """The task, once it waits for the attempt after this one."""
    task = service.task(task_id)
    return task if (task["status"], task["attempt"]) == ("retrying", number) else None


def first(count: int, found: Iterator[float]) -> list[float]:
    return [wait for wait, _ in zip(found, range(count), strict=False)]


def test_each_wait_is_longer_by_the_factor_up_to_the_cap(service: Service, server: Server, target: Target) -> None:
    target.answers = [answer(status=503)]
    policy = {"max": 9, "backoff": 60, "factor": 3, "max_delay": 600, "jitter": 0}
    task_id = service.submit(api_url=server.url(), retry=policy)["id"]
    assert first(4, waits(service, task_id)) == [60, 180, 540, 600]
    service.call("DELETE", f"/api/tasks/{task_id}")


def test_retry_after_does_not_reach_beyond_the_cap(service: Service, server: Server, target: Target) -> None:
    target.answers = [answer(status=429, retry_after="100"), answer(status=429, retry_after="86400")]
    task_id = service.submit(api_url=server.url(), retry={"max": 9, "backoff": 1, "max_delay": 600, "jitter": 0})["id"]
    assert first(2, waits(service, task_id)) == [100, 600]
    service.call("DELETE", f"/api/tasks/{task_id}")


def test_jitter_spreads_the_waits_within_its_bounds(service: Service, server: Server, target: Target) -> None:
    target.answers = [answer(status=503)]
    policy = {"max": 1, "backoff": 100, "jitter": 0.5}
    ids = [service.submit(api_url=server.url(), retry=policy)["id"] for _ in range(30)]
    found = [next(waits(service, task_id)) for task_id in ids]
    assert all(50 <= wait <= 150 for wait in found), found
    # Thirty draws out of a hundred seconds that all fall within ten of them: once in 10^27 times.
    assert max(found) - min(found) > 10
    for task_id in ids:
        service.call("DELETE", f"/api/tasks/{task_id}")


def test_no_attempt_begins_that_would_come_after_expires_in(service: Service, server: Server, target: Target) -> None:
    target.answers = [answer(status=503)]
    task = service.submit(api_url=server.url(), expires_in=60, retry=retry(max=9, backoff=100))
    ended = service.finished(task["id"])
    assert (ended["status"], ended["reason"], len(target.came)) == ("failed", "unexpected_status", 1)


def test_a_run_that_nobody_began_in_time_expires_and_is_never_done(
    service: Service, server: Server, target: Target
) -> None:
    target.answers = [OK]
    worker = service.processes["worker"]
    worker.send_signal(signal.SIGSTOP)
    try:
        late = service.submit(api_url=server.url(), expires_in=0.5)["id"]
        delayed = service.submit(api_url=server.url(), expires_in=0.5, task_type="delayed", delay_seconds=0.2)["id"]
        in_time = service.submit(api_url=server.url(), expires_in=600)["id"]
        time.sleep(1.5)
    finally:
        worker.send_signal(signal.SIGCONT)
    for task_id in (late, delayed):
        task = service.finished(task_id)
        assert (task["status"], task["reason"], task["attempt"]) == ("expired", "expired", 0)
    assert service.finished(in_time)["status"] == "succeeded"
    assert len(target.came) == 1
