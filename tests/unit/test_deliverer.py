"""A deliverer in this process, against a real store and real receivers on loopback, friendly and hostile."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tasks import notice
from tasks.deliverer import Deliverer
from tasks.model import FINISHED, Callback, Failed, Status, Task
from tasks.signature import Signer
from tasks.store import Store
from tasks.store.deliveries import DeliveryLog, DeliveryStatus
from tests.http_server import Script, Seen, Server, answer
from tests.integration.service import free_port
from tests.kinds import eventually
from tests.make import end, make_settings, submit, take

D = DeliveryStatus
ALL = tuple(FINISHED)


class Post:
    """A deliverer and the store that it delivers from."""

    def __init__(self, store: Store, folder: Path, **over: Any) -> None:
        fields = {"http_allowed_networks": "127.0.0.0/8", "callback_pauses": (0.05, 0.05), "callback_timeout": 2.0}
        self.settings = make_settings(folder, **{**fields, **over})
        self.store = store
        self.deliverer = Deliverer(store.deliveries, self.settings, chance=lambda: 0.0)
        self._over = threading.Event()
        self._pulse = threading.Thread(target=self._beat, daemon=True)
        self._pulse.start()

    def _beat(self) -> None:
        # As the worker's heartbeat does.
        while not self._over.wait(0.02):
            if self.store.heartbeat("w", {}, {}, []).callbacks:
                self.deliverer.nudge()

    def task(self, url: str, *, outcome: Any = None, status: Status = Status.SUCCEEDED, **over: Any) -> Task:
        """A task with a callback, whose run has ended."""
        task = submit(self.store, callback=Callback(url=url, events=ALL), **over)
        end(self.store, take(self.store), status=status, outcome=outcome or {"result": 42})
        return task

    def log(self, task: Task) -> DeliveryLog:
        return self.store.deliveries.list(task.id, limit=1)[0][0]

    def settled(self, task: Task, seconds: float = 10) -> DeliveryLog:
        """The delivery once it is over."""
        eventually(lambda: self.log(task).status is not D.WAITING, seconds)
        return self.log(task)

    def close(self) -> None:
        self._over.set()
        self._pulse.join(10)
        self.deliverer.close()


Make = Callable[..., Post]


@pytest.fixture
def make(store: Store, tmp_path: Path) -> Iterator[Make]:
    made: list[Post] = []

    def one(**over: Any) -> Post:
        made.append(Post(store, tmp_path, **over))
        return made[-1]

    yield one
    for post in made:
        post.close()


@pytest.fixture
def post(make: Make) -> Post:
    return make()


@contextmanager
def receiver(script: Script | None = None, **how: Any) -> Iterator[Server]:
    with Server(script or (lambda *_: answer(status=204)), **how) as server:
        yield server


def codes(log: DeliveryLog) -> list[tuple[Any, Any]]:
    return [(one["status_code"], one["error"]) for one in log.tries]


def verified(post: Post, seen: Seen, owner: str = "anonymous") -> Any:
    secret = Signer(post.settings).secret(owner, post.store.deliveries.generation(owner))
    return Webhook(secret).verify(seen.body, dict(seen.headers))


def test_a_receiver_gets_the_news_once_and_can_verify_it(post: Post) -> None:
    with receiver() as server:
        task = post.task(server.url("/hook?a=1"), name="Übung 1", tags=("x",))
        log = post.settled(task)
    assert (log.status, codes(log), log.tries_made) == (D.DELIVERED, [(204, None)], 1)
    (seen,) = server.seen
    assert (seen.method, seen.target, seen.headers["Content-Type"]) == ("POST", "/hook?a=1", "application/json")
    assert seen.headers["webhook-id"] == f"{task.id}_1"
    told = verified(post, seen)
    assert set(told) == {"type", "timestamp", "data"}
    assert (told["type"], told["timestamp"]) == ("run.succeeded", told["data"]["finished_at"])
    data = told["data"]
    assert (data["task_id"], data["run_id"], data["name"], data["tags"]) == (task.id, f"{task.id}.1", "Übung 1", ["x"])
    assert (data["result"], data["result_left_out"], data["error"], data["status"]) == (42, False, None, "succeeded")
    assert "function_code" not in seen.body.decode()


def test_a_changed_body_or_another_owners_secret_is_not_verified(post: Post) -> None:
    with receiver() as server:
        post.settled(post.task(server.url(), owner="olga"))
    (seen,) = server.seen
    assert verified(post, seen, "olga")
    with pytest.raises(Exception, match="signature"):
        verified(post, seen, "stefan")
    changed = Seen(seen.method, seen.target, seen.headers, seen.body.replace(b"42", b"43"))
    with pytest.raises(Exception, match="signature"):
        verified(post, changed, "olga")


def test_after_a_change_both_secrets_sign_for_a_day_and_then_the_new_one(post: Post) -> None:
    signer = Signer(post.settings)
    first = post.store.deliveries.generation("olga")
    second = post.store.deliveries.rotate("olga")
    old, new = signer.secret("olga", first), signer.secret("olga", second)
    assert len({old, new, signer.secret("stefan", first)}) == 3
    with receiver() as server:
        post.settled(post.task(server.url(), owner="olga"))
    headers = dict(server.seen[0].headers)
    for secret in (old, new):
        Webhook(secret).verify(server.seen[0].body, headers)
    assert second.since is not None
    for after, signatures in ((86_399_999, 2), (86_400_000, 1)):
        signed = signer.headers("olga", second, name="x", now=second.since + after, body="{}")
        assert len(signed["webhook-signature"].split()) == signatures


def test_after_a_change_of_secret_key_both_keys_sign(store: Store, tmp_path: Path) -> None:
    before, after = "a1" * 20, "b2" * 20
    now = round(time.time() * 1000)
    generation = store.deliveries.generation("olga")
    old = Signer(make_settings(tmp_path, secret_key=before)).secret("olga", generation)
    both = Signer(make_settings(tmp_path, secret_key=after, secret_key_previous=before))
    headers = both.headers("olga", generation, name="x", now=now, body="{}")
    for secret in (old, both.secret("olga", generation)):
        Webhook(secret).verify("{}", headers)


def test_a_failure_is_told_without_the_traceback_and_a_large_result_is_left_out(post: Post) -> None:
    error = {"code": "code_raised", "message": "m" * 5000, "traceback": "File secret", "line": 3}
    with receiver() as server:
        post.settled(post.task(server.url(), status=Status.FAILED, outcome={"result": None, "error": error}))
        post.settled(post.task(server.url(), outcome={"result": "x" * 20_000, "stdout": "printed"}))
    failed, large = (json.loads(seen.body)["data"] for seen in server.seen)
    assert failed["error"] == {"code": "code_raised", "message": "m" * 2000, "line": 3}
    assert (large["result"], large["result_left_out"]) == (None, True)
    assert large["path"] == f"/api/tasks/{large['task_id']}/runs/{large['run_id']}"
    assert all(b"printed" not in seen.body and b"secret" not in seen.body for seen in server.seen)
    assert all(len(seen.body) < 4_000 for seen in server.seen)


def test_it_is_tried_again_under_the_same_id_until_it_arrives(post: Post) -> None:
    answers = iter([answer(status=500), answer(status=404), answer(status=200)])
    with receiver(lambda *_: next(answers)) as server:
        log = post.settled(post.task(server.url()))
    assert log.status is D.DELIVERED
    assert codes(log) == [(500, "unexpected_status"), (404, "unexpected_status"), (200, None)]
    assert len({seen.headers["webhook-id"] for seen in server.seen}) == 1
    assert len({seen.body for seen in server.seen}) == 1
    assert all(verified(post, seen) for seen in server.seen)


def test_tries_are_bounded_and_a_further_round_can_be_asked_for(post: Post) -> None:
    with receiver(lambda *_: answer(status=503)) as server:
        task = post.task(server.url())
        log = post.settled(task)
        assert (log.status, log.reason, len(server.seen)) == (D.FAILED, "tries_used_up", 3)
        assert post.store.deliveries.deliver_again(log.run_id) == "due"
        eventually(lambda: len(server.seen) == 6)
        log = post.settled(task)
    assert ([one["number"] for one in log.tries], log.status) == ([1, 2, 3, 4, 5, 6], D.FAILED)


def test_who_is_down_gets_it_when_he_is_back(make: Make) -> None:
    post = make(callback_pauses=(0.05,) * 40)
    port = free_port()
    task = post.task(f"http://127.0.0.1:{port}/")
    eventually(lambda: post.log(task).tries_made > 1)
    with receiver(port=port) as server:
        log = post.settled(task)
    assert (log.status, len(server.seen)) == (D.DELIVERED, 1)
    assert codes(log)[0] == (None, "connect_failed")


def test_410_ends_it_at_once(post: Post) -> None:
    with receiver(lambda *_: answer(status=410)) as server:
        log = post.settled(post.task(server.url()))
    assert (log.status, log.reason, codes(log)) == (D.FAILED, "gone", [(410, "unexpected_status")])
    assert len(server.seen) == 1


def test_redirects_are_not_followed(post: Post) -> None:
    with receiver() as other, receiver(lambda *_: answer(status=307, location=other.url())) as server:
        log = post.settled(post.task(server.url()))
    assert (log.status, codes(log)) == (D.FAILED, [(307, "unexpected_status")] * 3)
    assert other.seen == []


def test_retry_after_puts_the_next_try_off(make: Make) -> None:
    post = make(callback_pauses=(0.05,) * 3)
    answers = iter([answer(status=429, retry_after="2"), answer(status=429, retry_after="99999999")])
    with receiver(lambda *_: next(answers)) as server:
        task = post.task(server.url())
        eventually(lambda: len(post.log(task).tries) == 1)
        due, at = post.log(task).due_at, post.log(task).tries[0]["at"]
        assert due is not None
        assert 2_000 <= due - at < 30_000
        eventually(lambda: len(post.log(task).tries) == 2)
        due, at = post.log(task).due_at, post.log(task).tries[1]["at"]
        assert due is not None
        assert 86_400_000 <= due - at < 86_430_000


def test_pauses_are_those_of_the_setting_and_a_little_more(store: Store, tmp_path: Path) -> None:
    def pauses(chance: float) -> list[float]:
        settings = make_settings(tmp_path)
        deliverer = Deliverer(store.deliveries, settings, chance=lambda: chance)
        task = submit(store, callback=Callback(url="http://a/", events=ALL))
        end(store, take(store))
        delivery = store.deliveries.claim(lease=1000, most=9, busy=(), busy_owners=())
        assert delivery is not None
        store.delete(task.id)
        failed = Failed(code="x", message="x")
        return [deliverer._pause(replace(delivery, round=number), failed) for number in range(1, 8)]

    assert pauses(0.0) == [5, 300, 1800, 7200, 18_000, 36_000, 36_000]
    assert pauses(1.0) == [6, 360, 2160, 8640, 21_600, 43_200, 43_200]


@pytest.mark.parametrize("networks", ["", "127.0.0.9/32"])
def test_an_inner_address_is_refused_and_not_tried_again(make: Make, networks: str) -> None:
    post = make(http_allowed_networks=networks)
    with receiver() as server:
        for url in (server.url(), f"http://localhost:{server.port}/", f"http://[::ffff:127.0.0.1]:{server.port}/"):
            log = post.settled(post.task(url))
            assert (log.status, log.reason, len(log.tries)) == (D.FAILED, "address_not_allowed", 1)
    assert server.connections == 0


def drips(_: Seen, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def hangs(_: Seen, connection: socket.socket) -> None:
    connection.recv(1)


def floods(_: Seen, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
    while True:
        connection.sendall(b"x" * 1_000_000)


def babbles(*_: Any) -> bytes:
    return b"\x00\x01 nonsense \r\n\r\n"


def cuts(_: Seen, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-")


@pytest.mark.parametrize(
    ("script", "error"),
    [(drips, "timed_out"), (hangs, "timed_out"), (babbles, "bad_response"), (cuts, "connection_lost")],
)
def test_hostile_receivers_get_their_time_and_no_more(make: Make, script: Script, error: str) -> None:
    post = make(callback_timeout=0.4)
    with receiver(script) as server:
        log = post.settled(post.task(server.url()))
    assert (log.status, codes(log)) == (D.FAILED, [(None, error)] * 3)


def test_a_flood_is_cut_and_counts_as_what_its_status_says(post: Post) -> None:
    with receiver(floods) as server:
        log = post.settled(post.task(server.url()))
    assert (log.status, codes(log)) == (D.DELIVERED, [(200, None)])


def test_a_receiver_that_hangs_holds_up_no_other(make: Make) -> None:
    post = make(callback_timeout=30, callback_concurrency=4)
    with receiver(hangs) as hanging, receiver() as server:
        stuck = [post.task(hanging.url(), owner=owner) for owner in ("olga", "olga", "anonymous", "anonymous")]
        for owner in ("olga", "anonymous"):
            assert post.settled(post.task(server.url(), owner=owner)).status is D.DELIVERED
        assert len(hanging.seen) == 2, "a quarter of what goes on at once for each"
        assert {post.log(task).status for task in stuck} == {D.WAITING}
        begun = time.monotonic()
        post.close()
        assert time.monotonic() - begun < 10, "what hangs is broken off"
    assert [post.log(task).tries for task in stuck] == [()] * 4, "and does not count"


def test_two_deliverers_deliver_everything_once(make: Make) -> None:
    posts = [make(), make()]
    with receiver() as server:
        tasks = [posts[0].task(server.url()) for _ in range(40)]
        assert {posts[0].settled(task).status for task in tasks} == {D.DELIVERED}
    assert sorted(seen.headers["webhook-id"] for seen in server.seen) == sorted(f"{task.id}_1" for task in tasks)


def test_no_secret_and_no_query_is_in_the_log(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with receiver(lambda *_: answer("their answer", status=500)) as server:
        log = post.settled(post.task(server.url("/hook?token=hunter2")))
    secret = Signer(post.settings).secret("anonymous", post.store.deliveries.generation("anonymous"))
    assert "callback" in caplog.text
    for hidden in (secret, secret.removeprefix("whsec_"), "hunter2", "their answer", "v1,"):
        assert hidden not in caplog.text
        assert hidden not in str(log)


def test_the_id_has_no_dot() -> None:
    assert notice.name_of("01a20bed-2413-76b5-9617-f9478f7f91a6.12") == "01a20bed-2413-76b5-9617-f9478f7f91a6_12"
