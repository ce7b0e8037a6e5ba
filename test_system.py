"""Checks a running service from outside, over HTTP: `python test_system.py [--url URL] [--token T] [--timeout S]`.

It starts no service, deletes every task that it made, and ends with exit code 0 where all is well, else 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

try:
    import requests
except ModuleNotFoundError:
    venv = Path(__file__).with_name(".venv") / "bin" / "python"
    advice = f"{venv} test_system.py" if venv.exists() else "pip install -r requirements.txt"
    raise SystemExit(f"This Python lacks the package requests. Run: {advice}") from None

Json = dict[str, Any]
FINISHED = {"succeeded", "failed", "timed_out", "stopped", "lost", "expired", "skipped"}
IMMEDIATE = {"name": "system check", "task_type": "immediate"}
ENDLESS = {"function_code": "def forever():\n    while True:\n        pass\n", "function_name": "forever"}
ONE = {"function_code": "def one():\n    return 1", "function_name": "one"}


class Wrong(Exception):
    """The service did not do what it should; the message says what was seen."""


class Denied(Exception):
    """The service wants a token."""


def expect(right: object, told: str) -> None:
    """Raises Wrong with `told` unless `right`."""
    if not right:
        raise Wrong(told)


class Service:
    """The service under test, and the tasks that were made there."""

    def __init__(self, url: str, token: str | None, patience: float) -> None:
        self.url = url.rstrip("/")
        self._patience = patience
        self._made: list[str] = []
        self._session = requests.Session()
        # Neither a proxy nor a .netrc of this machine may stand between us and the service.
        self._session.trust_env = False
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, *statuses: int, **options: Any) -> requests.Response:
        """The answer, which must have one of these statuses. Raises Wrong and Denied."""
        answer = self._session.request(method, self.url + path, timeout=self._patience, **options)
        if answer.status_code == 401:
            raise Denied
        wanted = " or ".join(map(str, statuses))
        told = f"{method} {path} answered {answer.status_code} instead of {wanted}: {answer.text[:200]}"
        expect(answer.status_code in statuses, told)
        return answer

    def get(self, path: str) -> Json:
        """What GET answers with 200."""
        return dict(self.call("GET", path, 200).json())

    def submit(self, **fields: Any) -> Json:
        """The task that came of these fields; immediate, and named, unless they say otherwise."""
        return self.keep(self.call("POST", "/api/tasks", 201, json=IMMEDIATE | fields))

    def keep(self, answer: requests.Response) -> Json:
        """The task of this answer, which is deleted in the end."""
        task = dict(answer.json())
        self._made.append(task["id"])
        expect(answer.headers["Location"].endswith(f"/api/tasks/{task['id']}"), "Location does not name the task")
        return task

    def refusal(self, method: str, path: str, status: int, code: str, **options: Any) -> Json:
        """The problem (RFC 9457) that a wrong request is answered with."""
        answer = self.call(method, path, status, **options)
        media_type = answer.headers["Content-Type"]
        expect(media_type == "application/problem+json", f"{method} {path} answered with the type {media_type}")
        problem = dict(answer.json())
        expect(problem["code"] == code, f"{method} {path} was refused as {problem['code']} instead of {code}")
        return problem

    def wait(self, task: Json, good: Callable[[Json], object]) -> Json:
        """The task as soon as it is `good`. Raises Wrong where that takes too long."""
        end = time.monotonic() + self._patience
        while not good(task):
            expect(time.monotonic() < end, f"after {self._patience:g} s the task is still {task['status']}")
            time.sleep(0.1)
            task = self.get(f"/api/tasks/{task['id']}")
        return task

    def finish(self, task: Json, *statuses: str) -> Json:
        """The task when it has finished, which must be with one of these statuses, or with success."""
        task = self.wait(task, lambda seen: seen["status"] in FINISHED)
        wanted = statuses or ("succeeded",)
        expect(task["status"] in wanted, f"the task ended as {task['status']}, not {wanted[0]}: {task['error']}")
        return task

    def stop(self, task: Json) -> Json:
        """The task when it has been stopped."""
        self.call("POST", f"/api/tasks/{task['id']}/stop", 200, 202)
        return self.wait(task, lambda seen: seen["status"] == "stopped")

    def clean(self) -> list[str]:
        """Delete every task that was made; the ids of those that would not go."""
        left = []
        for task_id in self._made:
            try:
                self.call("DELETE", f"/api/tasks/{task_id}", 204, 404)
            except (Wrong, Denied, requests.RequestException):
                left.append(task_id)
        return left


class _Checks(Service):
    """The checks, in their order; each returns what it saw."""

    def the_service_is_healthy(self) -> str:
        seen = self.get("/api/health")
        expect(seen["workers"], "no worker is alive; start one with: celery -A celery_app worker --loglevel=info")
        expect(seen["beat"]["alive"], "no beat is alive; start one with: celery -A celery_app beat --loglevel=info")
        expect(seen["status"] == "healthy", f"it is {seen['status']}: {json.dumps(seen)[:300]}")
        return f"version {seen['version']}, {len(seen['workers'])} worker(s)"

    def an_immediate_task_runs(self) -> str:
        code = 'def hello():\n    return "Hello World!"'
        task = self.finish(self.submit(function_code=code, function_name="hello", args=[], kwargs={}))
        expect(task["result"] == "Hello World!", f"the result is {task['result']!r}")
        (run,) = self.get(f"/api/tasks/{task['id']}/runs")["runs"]
        expect(run["result"] == task["result"] and run["attempt"] == 1, f"its run is {run}")
        expect(self.get(f"/api/tasks/{task['id']}/runs/{run['id']}") == run, "the run differs by itself")
        return f"{task['result']!r} after {run['duration']:.2f} s"

    def arguments_prints_and_chinese_arrive(self) -> str:
        code = "def greet(who, *, times=1):\n    print('打印', times)\n    return {'问候': ['你好，' + who] * times}"
        fields = {"name": "中文任务", "function_code": code, "args": ["世界"], "kwargs": {"times": 2}, "tags": ["中文"]}
        task = self.finish(self.submit(function_name="greet", **fields))
        fields |= {"result": {"问候": ["你好，世界"] * 2}, "stdout": "打印 2\n"}
        wrong = {name: task[name] for name, value in fields.items() if task[name] != value}
        expect(not wrong, f"other values came back: {wrong}")
        raw = self.call("GET", f"/api/tasks/{task['id']}", 200).content
        expect("你好，世界".encode() in raw, "the answer is not plain UTF-8")
        return str(task["result"])

    def an_error_names_its_line(self) -> str:
        code = "def divide(a, b):\n    print('before')\n    return a / b\n"
        task = self.submit(function_code=code, function_name="divide", args=[1, 0])
        error = self.finish(task, "failed")["error"]
        expect((error["code"], error["line"]) == ("code_raised", 3), f"the error is {error}")
        return f"line {error['line']}: {error['message']}"

    def a_forbidden_import_is_refused(self) -> str:
        code = "import math\nimport os\ndef look():\n    return os.listdir('/')"
        bad = IMMEDIATE | {"function_code": code, "function_name": "look"}
        found = self.refusal("POST", "/api/tasks", 422, "invalid_task", json=bad)["errors"][0]
        expect((found["pointer"], found.get("line")) == ("/function_code", 2), f"the refusal is {found}")
        return f"line {found['line']}: {found['message']}"

    def a_task_ends_at_its_timeout(self) -> str:
        task = self.finish(self.submit(**ENDLESS, timeout=1), "timed_out")
        return f"asked for 1 s, ended after {task['duration']:.2f} s"

    def a_delayed_task_waits_its_time(self) -> str:
        task = self.submit(task_type="delayed", delay_seconds=1.5, **ONE)
        expect(task["status"] == "scheduled" and task["next_run_at"], f"it begins as {task['status']}")
        task = self.finish(task)
        started, created = (datetime.fromisoformat(task[name]) for name in ("started_at", "created_at"))
        waited = (started - created).total_seconds()
        expect(waited >= 1.4, f"it ran after {waited:.1f} s instead of 1.5 s")
        return f"asked for 1.5 s, ran after {waited:.2f} s"

    def a_scheduled_task_runs_until_stopped(self) -> str:
        task = self.submit(task_type="scheduled", cron_expression="* * * * * *", **ONE)
        self.wait(task, lambda seen: seen["last_run"] and seen["last_run"]["status"] == "succeeded")
        task = self.stop(task)
        expect(task["next_run_at"] is None and task["next_runs"] == [], "it was stopped but is due again")
        return f"every second; stopped after {task['run_count']} run(s)"

    def a_schedule_keeps_to_its_time_zone(self) -> str:
        timing = {"task_type": "scheduled", "cron_expression": "0 0 * * *", "timezone": "Asia/Shanghai"}
        seen = self.submit(**timing, **ONE)["next_runs"]
        good = len(seen) == 5 and seen == sorted(set(seen)) and all(due.endswith("T16:00:00.000Z") for due in seen)
        expect(good, f"midnight in Shanghai is said to be at {seen}")
        return f"midnight in Shanghai is {seen[0]}"

    def an_api_task_calls_what_it_may(self) -> str:
        with listener() as (url, heard):
            fields = {"api_url": url, "headers": {"X-Check": "yes"}, "params": {"word": "你好"}, "timeout": 5}
            answer = self.call("POST", "/api/tasks", 201, 422, json=IMMEDIATE | fields)
            if answer.status_code == 422:
                codes = [problem["code"] for problem in answer.json()["errors"]]
                expect(codes == ["address_not_allowed"], f"it was refused with {codes}")
                return "refused as address_not_allowed: HTTP_ALLOWED_NETWORKS leaves loopback out"
            result = self.finish(self.keep(answer))["result"]
        expect(heard == ["/?word=%E4%BD%A0%E5%A5%BD X-Check=yes"], f"the server was asked for {heard}")
        expect((result["status_code"], result.get("json")) == (200, {"hello": "世界"}), f"the result is {result}")
        return f"status {result['status_code']}, {result['json']}"

    def an_api_task_tells_what_failed(self) -> str:
        # .invalid never resolves (RFC 6761 §6.4), so this runs in a worker without leaving its network.
        task = self.submit(api_url="http://test-system.invalid/", timeout=5)
        error = self.finish(task, "failed", "timed_out")["error"]
        return f"{error['code']}: {error['message']}"

    def lists_have_pages_and_filters(self) -> str:
        tag = f"check-{uuid.uuid4().hex[:8]}"
        made = [self.submit(name=f"Check {number}", tags=[tag], **ONE)["id"] for number in range(3)]
        first = self.get(f"/api/tasks?tag={tag}&limit=2")
        second = self.get(f"/api/tasks?tag={tag}&limit=2&cursor={first['next_cursor']}")
        seen = [task["id"] for page in (first, second) for task in page["tasks"]]
        expect(seen == made[::-1], "the pages do not hold the three tasks, newest first")
        expect((first["total"], second["next_cursor"]) == (3, None), f"total is {first['total']}")
        filters = {"task_type=immediate": 3, "task_type=delayed": 0, "kind=code": 3, "kind=http": 0, "name=K%202": 1}
        for text, count in filters.items():
            found = len(self.get(f"/api/tasks?tag={tag}&{text}")["tasks"])
            expect(found == count, f"the filter {text} finds {found} tasks instead of {count}")
        return f"3 tasks on 2 pages, {len(filters)} filters"

    def waiting_and_running_tasks_can_be_stopped(self) -> str:
        waiting = self.stop(self.submit(task_type="delayed", delay_seconds=3600, **ONE))
        self.call("POST", f"/api/tasks/{waiting['id']}/stop", 200)
        ended = self.finish(self.submit(**ONE))
        self.refusal("POST", f"/api/tasks/{ended['id']}/stop", 409, "illegal_move")
        running = self.wait(self.submit(**ENDLESS, timeout=60), lambda seen: seen["status"] == "running")
        began = time.monotonic()
        self.stop(running)
        return f"an endless loop within {time.monotonic() - began:.2f} s"

    def deleted_tasks_are_gone(self) -> str:
        ended = self.finish(self.submit(**ONE))
        running = self.wait(self.submit(**ENDLESS, timeout=60), lambda seen: seen["status"] == "running")
        for path in (f"/api/tasks/{task['id']}" for task in (ended, running)):
            self.call("DELETE", path, 204)
            for method, gone in (("GET", path), ("GET", f"{path}/runs"), ("DELETE", path)):
                self.refusal(method, gone, 404, "task_not_found")
        return "an ended and a running one"

    def bad_requests_are_told_what_is_wrong(self) -> str:
        refusal, tasks, kind = self.refusal, "/api/tasks", {"Content-Type": "application/json"}
        refusal("POST", tasks, 400, "malformed_json", data=b'{"name": ', headers=kind)
        refusal("POST", tasks, 415, "unsupported_media_type", data=b"name=x")
        bad = {"name": "", "task_type": "delayed", "delay_seconds": -1, "function_cod": "x", **ONE}
        found = {each["pointer"] for each in refusal("POST", tasks, 422, "invalid_task", json=bad)["errors"]}
        expect(found == {"/name", "/delay_seconds", "/function_cod"}, f"the bad fields are said to be {found}")
        never = IMMEDIATE | {"task_type": "scheduled", "cron_expression": "0 0 31 2 *", **ONE}
        refusal("POST", tasks, 422, "invalid_task", json=never)
        refusal("GET", f"{tasks}/{uuid.uuid4()}", 404, "task_not_found")
        refusal("PUT", tasks, 405, "method_not_allowed")
        return "400, 404, 405, 415, 422, as problem+json"


@contextmanager
def listener() -> Iterator[tuple[str, list[str]]]:
    """The URL of an HTTP server on loopback, and what it has been asked for."""
    heard: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(f"{self.path} X-Check={self.headers['X-Check']}")
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write('{"hello": "世界"}'.encode())

        def log_message(self, *_: Any) -> None:
            """Says nothing: the table is ours."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/", heard
        finally:
            server.shutdown()
            thread.join()


def check(one: Callable[[], str]) -> bool:
    """Do one check and print its line of the table. Raises Denied and ConnectionError."""
    began = time.monotonic()
    try:
        good, told = True, one()
    except Wrong as wrong:
        good, told = False, str(wrong)
    except (requests.Timeout, KeyError, TypeError, ValueError, IndexError) as error:
        good, told = False, f"no usable answer ({type(error).__name__}: {str(error)[:150]})"
    title = one.__name__.replace("_", " ")
    print(f"{title:<41}{time.monotonic() - began:6.2f} s  {'ok  ' if good else 'FAIL'}  {told}", flush=True)
    return good


def check_all(service: _Checks) -> bool:
    """Do the checks; none but the first where that fails, for without its processes the others only take long."""
    began = time.monotonic()
    first, *others = [getattr(service, name) for name in vars(_Checks) if not name.startswith("_")]
    passed = [check(first)]
    if passed[0]:
        passed += [check(one) for one in others]
    count = f"{sum(passed)} of {1 + len(others)} checks passed, {passed.count(False)} failed"
    print(f"\n{count}, {1 + len(others) - len(passed)} not made; {time.monotonic() - began:.1f} s")
    return all(passed)


def _address() -> str:
    return f"http://localhost:{os.environ.get('API_PORT') or 5000}"


def main() -> int:
    """Check the service that the command line names; the exit code."""
    parser = argparse.ArgumentParser(description="Checks a running service from outside; starts nothing.")
    parser.add_argument("--url", default=_address(), help="where the service answers (%(default)s)")
    parser.add_argument("--token", help="access token, where the service wants one")
    parser.add_argument("--timeout", type=float, default=30, help="longest wait, in seconds (%(default)s)")
    options = parser.parse_args()
    service, good = _Checks(options.url, options.token, options.timeout), False
    try:
        good = check_all(service)
    except (requests.ConnectionError, requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema):
        print(f"Nothing answers at {service.url}. Start the service first: make start (or: python start.py).")
        print("Where it answers elsewhere, say so: --url http://HOST:PORT, or API_PORT.")
    except Denied:
        print(f"{service.url} wants a valid token: get one at POST /api/auth/login and give it with --token.")
    except KeyboardInterrupt:
        print("\nBroken off.")
    left = service.clean()
    if left:
        print(f"These tasks could not be deleted: {', '.join(left)}")
    return 0 if good and not left else 1


if __name__ == "__main__":
    sys.exit(main())
