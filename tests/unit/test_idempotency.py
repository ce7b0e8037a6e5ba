"""Idempotency-Key: the same request has its effect once and the same answer every time."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from flask import g

from tasks.principal import ANONYMOUS
from tasks.store import Receipt
from tests.api import Api
from tests.make import code_body, end, keys, take

KEY = {"Idempotency-Key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}


def count(api: Api) -> int:
    return int(api.get("/api/tasks").json["total"])


@pytest.mark.parametrize(
    "timing",
    [
        {},
        {"task_type": "delayed", "delay_seconds": 60},
        {"task_type": "delayed", "run_at": "2027-01-01T00:00:00Z"},
        {"task_type": "scheduled", "cron_expression": "H H * * *"},
    ],
)
def test_the_same_request_stores_one_task_and_gets_the_first_answer_again(api: Api, timing: dict[str, Any]) -> None:
    first = api.post("/api/tasks", code_body(**timing), headers=KEY)
    again = api.post("/api/tasks", code_body(**timing), headers=KEY)
    assert (first.status_code, again.status_code, count(api)) == (201, 201, 1)
    assert again.data == first.data
    assert again.headers["Location"] == first.headers["Location"]
    assert again.content_type == first.content_type
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    stored = api.get(first.headers["Location"]).json
    assert stored == first.json
    assert len(api.bell.runs) == (0 if timing else 1)


def test_the_first_answer_comes_again_when_the_task_is_long_gone(api: Api) -> None:
    first = api.post("/api/tasks", code_body(), headers=KEY)
    assert api.call("DELETE", f"/api/tasks/{first.json['id']}").status_code == 204
    assert api.post("/api/tasks", code_body(), headers=KEY).json == first.json
    assert count(api) == 0


def test_the_same_json_in_another_order_is_the_same_request(api: Api) -> None:
    first = api.post("/api/tasks", code_body(), headers=KEY)
    turned = json.dumps(dict(reversed(code_body().items())), indent=2)
    again = api.call("POST", "/api/tasks", data=turned, content_type="application/json", headers=KEY)
    assert again.json == first.json


def test_quotation_marks_make_no_difference(api: Api) -> None:
    first = api.post("/api/tasks", code_body(), headers={"Idempotency-Key": '"a"'})
    assert api.post("/api/tasks", code_body(), headers={"Idempotency-Key": "a"}).json == first.json


def test_another_body_or_path_under_the_same_key_is_refused(api: Api) -> None:
    task = api.post("/api/tasks", code_body(), headers=KEY).json
    for path, body in (("/api/tasks", code_body(name="other")), ("/api/tasks/batch", {"tasks": [code_body()]})):
        answer = api.post(path, body, headers=KEY)
        assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")
    answer = api.call("POST", f"/api/tasks/{task['id']}/stop", headers=KEY)
    assert answer.status_code == 422
    assert count(api) == 1


def test_a_request_that_is_being_done_is_not_done_beside_it(api: Api) -> None:
    entered, leave = threading.Event(), threading.Event()
    store_all = api.store.submit_all

    def slow(*args: Any, **options: Any) -> Any:
        entered.set()
        assert leave.wait(10)
        return store_all(*args, **options)

    api.store.submit_all = slow  # type: ignore[method-assign]
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(api.app.test_client().post("/api/tasks", json=code_body(), headers=KEY))
    )
    thread.start()
    assert entered.wait(10)
    busy = api.post("/api/tasks", code_body(), headers=KEY)
    leave.set()
    thread.join(10)
    assert (busy.status_code, busy.json["code"]) == (409, "idempotency_key_in_use")
    assert 1 <= int(busy.headers["Retry-After"]) <= 15
    assert answers[0].status_code == 201
    assert api.post("/api/tasks", code_body(), headers=KEY).json == answers[0].json
    assert count(api) == 1


def test_a_try_that_was_overtaken_stores_nothing(api: Api) -> None:
    store_all = api.store.submit_all

    def overtaken(*args: Any, **options: Any) -> Any:
        api.store.submit_all = store_all  # type: ignore[method-assign]
        receipt = args[0].receipt
        api.store._redis.command("HSET", "{tms}:receipt:" + receipt.key, "ends", 1)
        assert api.app.test_client().post("/api/tasks", json=code_body(), headers=KEY).status_code == 201
        return store_all(*args, **options)

    api.store.submit_all = overtaken  # type: ignore[method-assign]
    late = api.post("/api/tasks", code_body(), headers=KEY)
    assert (late.status_code, late.json["code"]) == (409, "idempotency_key_in_use")
    assert count(api) == 1
    assert api.post("/api/tasks", code_body(), headers=KEY).headers["Idempotency-Replayed"] == "true"


def test_a_refused_request_is_not_remembered(api: Api) -> None:
    assert api.post("/api/tasks", code_body(name=""), headers=KEY).status_code == 422
    assert api.post("/api/tasks", code_body(), headers=KEY).status_code == 201
    assert count(api) == 1


def test_stopping_is_answered_the_same_again(api: Api) -> None:
    task = api.submit(task_type="delayed", delay_seconds=60)
    first = api.call("POST", f"/api/tasks/{task['id']}/stop", headers=KEY)
    again = api.call("POST", f"/api/tasks/{task['id']}/stop", headers=KEY)
    assert (first.status_code, again.data) == (200, first.data)
    assert again.headers["Idempotency-Replayed"] == "true"


def scheduled(api: Api) -> str:
    body = {"task_type": "scheduled", "cron_expression": "@yearly", "overlap": "allow"}
    return str(api.submit(**body)["id"])


def test_run_now_starts_one_run(api: Api) -> None:
    path = f"/api/tasks/{scheduled(api)}"
    first = api.post(f"{path}/run", headers=KEY)
    again = api.post(f"{path}/run", headers=KEY)
    assert (first.status_code, again.status_code, again.data) == (201, 201, first.data)
    assert again.headers["Location"] == first.headers["Location"]
    assert api.get(f"{path}/runs").json["total"] == 1


def test_run_now_starts_one_run_when_the_first_try_died_before_it_answered(api: Api) -> None:
    task_id = scheduled(api)
    with api.app.test_request_context():
        g.principal = ANONYMOUS
        held = api.manager.open_receipt("k", fingerprint="f", token="t")
        assert isinstance(held, Receipt)
        first = api.manager.run_now(task_id, held)
        api.manager.run_now(task_id)
        api.store._redis.command("HSET", "{tms}:receipt:" + held.key, "ends", 1)
        next_try = api.manager.open_receipt("k", fingerprint="f", token="u")
        assert isinstance(next_try, Receipt)
        assert api.manager.run_now(task_id, next_try).id == first.id
    assert api.get(f"/api/tasks/{task_id}/runs").json["total"] == 2


def test_a_run_that_was_refused_may_be_asked_for_again(api: Api) -> None:
    task_id = str(api.submit(task_type="scheduled", cron_expression="@yearly")["id"])
    run = api.post(f"/api/tasks/{task_id}/run").json
    assert api.post(f"/api/tasks/{task_id}/run", headers=KEY).json["code"] == "overlap"
    assert api.store.stop(task_id)
    assert api.post(f"/api/tasks/{task_id}/run", headers=KEY).json["code"] == "illegal_move"
    assert api.get(f"/api/tasks/{task_id}/runs").json["runs"][0]["id"] == run["id"]


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_pausing_and_resuming_are_answered_the_same_again(api: Api, verb: str) -> None:
    path = f"/api/tasks/{scheduled(api)}/{verb}"
    first, again = api.post(path, headers=KEY), api.post(path, headers=KEY)
    assert (first.status_code, again.data, again.headers["ETag"]) == (200, first.data, first.headers["ETag"])
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("key", ["", " ", '""', "x" * 256, "ü", "a\tb"])
def test_a_key_that_cannot_be_one_is_refused(api: Api, key: str) -> None:
    answer = api.post("/api/tasks", code_body(), headers={"Idempotency-Key": key.encode().decode("latin-1")})
    assert (answer.status_code, answer.json["code"]) == (400, "bad_idempotency_key")
    assert count(api) == 0


def test_two_keys_in_one_request_are_refused(api: Api) -> None:
    answer = api.post("/api/tasks", code_body(), headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    assert answer.status_code == 400


def test_receipts_are_kept_for_a_day(api: Api) -> None:
    api.post("/api/tasks", code_body(), headers=KEY)
    (receipt,) = [key for key in keys(api.store) if ":receipt:" in key]
    left = api.store._redis.command("PTTL", receipt)
    assert 86_000_000 < left <= 86_400_000
    assert "8e03978e" not in receipt


def test_a_batch_is_stored_once(api: Api) -> None:
    body = {"tasks": [code_body(name=str(number)) for number in range(3)]}
    first = api.post("/api/tasks/batch", body, headers=KEY)
    again = api.post("/api/tasks/batch", body, headers=KEY)
    assert (first.status_code, again.data, count(api)) == (201, first.data, 3)


def test_a_signing_secret_is_changed_once(api: Api) -> None:
    path = "/api/callbacks/secret"
    first, again = api.post(path, headers=KEY), api.post(path, headers=KEY)
    assert (first.status_code, again.data, again.headers["Idempotency-Replayed"]) == (200, first.data, "true")
    assert api.get(path).json["generation"] == 2
    assert again.headers["Cache-Control"] == "no-store"
    other = api.post(path, headers={"Idempotency-Key": "another"})
    assert other.json["generation"] == 3
    assert api.post(path, headers=KEY).json == first.json


def test_a_signing_secret_is_changed_once_when_the_first_try_died_before_it_answered(api: Api) -> None:
    with api.app.test_request_context():
        g.principal = ANONYMOUS
        held = api.manager.open_receipt("k", fingerprint="f", token="t")
        assert isinstance(held, Receipt)
        first = api.manager.change_callback_secret(held)
        api.store._redis.command("HSET", "{tms}:receipt:" + held.key, "ends", 1)
        next_try = api.manager.open_receipt("k", fingerprint="f", token="u")
        assert isinstance(next_try, Receipt)
        assert api.manager.change_callback_secret(next_try) == first


def test_a_sealed_answer_of_another_key_is_not_taken_for_one(api: Api) -> None:
    api.post("/api/callbacks/secret", headers=KEY)
    (receipt,) = api.store._redis.command("KEYS", "{tms}:receipt:*")
    api.store._redis.command("HSET", receipt, "answer", "sealed:bm9uc2Vuc2U=")
    answer = api.post("/api/callbacks/secret", headers=KEY)
    assert (answer.status_code, answer.json["code"]) == (409, "idempotency_key_in_use")
    assert api.get("/api/callbacks/secret").json["generation"] == 2


def test_a_callback_is_delivered_again_once(api: Api) -> None:
    task = api.submit(callback={"url": "https://example.com/"})
    path = f"/api/tasks/{task['id']}/callbacks"
    run_id = f"{task['id']}.1"
    assert api.post(f"{path}/{run_id}/redeliver", headers=KEY).status_code == 404
    end(api.store, take(api.store))

    def deliver() -> None:
        delivery = api.store.deliveries.claim(lease=1000, most=1, busy=(), busy_owners=())
        assert delivery is not None
        assert api.store.deliveries.delivered(delivery, {})

    deliver()
    first = api.post(f"{path}/{run_id}/redeliver", headers=KEY)
    assert (first.status_code, first.json["status"]) == (202, "waiting")
    deliver()
    again = api.post(f"{path}/{run_id}/redeliver", headers=KEY)
    assert (again.status_code, again.data) == (202, first.data)
    assert api.get(path).json["callbacks"][0]["status"] == "delivered"
    assert api.store.deliveries.deliver_again(run_id, Receipt(key="none", token="t", now=0)) == "due"
