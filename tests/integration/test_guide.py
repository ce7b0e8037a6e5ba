"""Every command and example of the user's guide, as it stands there, against a running service."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.service import ROOT, Service
from tests.integration.sink import Sink

GUIDE = (ROOT / "tests" / "data" / "guide.zh.md").read_text(encoding="utf-8")
SHELL = [block.strip() for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)]
CURLS = [block for block in SHELL if block.startswith("curl")]
BODIES = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)]


def run(service: Service, command: str) -> subprocess.CompletedProcess[str]:
    """A command of the guide in a shell, in the folder where the service was started."""
    tools = Path(sys.executable).parent
    environment = {**service.environment, "PATH": f"{tools}:{service.environment['PATH']}"}
    return subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def curl(service: Service, command: str, **replaced: str) -> tuple[int, Any]:
    """A curl command of the guide: its HTTP status and its JSON."""
    command = command.replace("http://localhost:5000", service.url)
    for name, value in replaced.items():
        command = command.replace(name, value)
    done = run(service, command.replace("curl ", "curl -sS -w '\\n%{http_code}' ", 1))
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body) if body else None


def command(part: str) -> str:
    """The one curl command of the guide that holds `part`."""
    (found,) = [block for block in CURLS if part in block]
    return found


def test_the_guide_has_the_examples_that_are_tested_here() -> None:
    assert len(CURLS) == 8
    assert len(BODIES) == 3


def test_the_health_check_answers(service: Service) -> None:
    status, body = curl(service, command("/api/health"))
    assert (status, body["status"]) == (200, "healthy")


def test_the_immediate_example_runs(service: Service) -> None:
    status, task = curl(service, command('"测试任务"'))
    assert (status, task["name"], task["task_type"]) == (201, "测试任务", "immediate")
    ended = service.finished(task["id"])
    assert (ended["status"], ended["result"]) == ("succeeded", "Hello World!")


def test_the_delayed_example_waits_and_gives_its_chinese_result(service: Service) -> None:
    status, task = curl(service, command('"delay_seconds": 60'))
    assert (status, task["status"], task["delay_seconds"]) == (201, "scheduled", 60)
    sooner = curl(service, command('"delay_seconds": 60').replace('"delay_seconds": 60', '"delay_seconds": 1'))[1]
    assert service.finished(sooner["id"])["result"] == "延时任务执行完成"


def test_the_api_example_is_accepted_and_calls(service: Service, sink: Sink) -> None:
    example = command("httpbin.org")
    status, task = curl(service, example, **{"https://httpbin.org": sink.url})
    assert (status, task["kind"], task["timeout"]) == (201, "http", 30)
    ended = service.finished(task["id"])
    assert (ended["status"], ended["result"]["status_code"], sink.calls) == ("succeeded", 200, ["/get"])
    status, task = curl(service, example)
    assert (status, task["api_url"]) == (201, "https://httpbin.org/get")
    curl(service, command("-X DELETE"), **{"{task_id}": task["id"]})


def test_list_detail_stop_and_delete_work_as_written(service: Service) -> None:
    task = service.code("def f():\n    return 1\n", task_type="delayed", delay_seconds=300, name="列出")
    (listing,) = [block for block in CURLS if block.endswith("/api/tasks")]
    status, page = curl(service, listing)
    assert (status, page["tasks"][0]["id"], page["tasks"][0]["name"]) == (200, task["id"], "列出")
    (detail,) = [block for block in CURLS if block.endswith("{task_id}") and "-X" not in block]
    assert curl(service, detail, **{"{task_id}": task["id"]})[1]["id"] == task["id"]
    status, stopped = curl(service, command("/stop"), **{"{task_id}": task["id"]})
    assert (status, stopped["status"]) == (200, "stopped")
    assert curl(service, command("-X DELETE"), **{"{task_id}": task["id"]}) == (204, None)
    assert curl(service, detail, **{"{task_id}": task["id"]})[0] == 404


@pytest.mark.parametrize("body", BODIES, ids=[body["task_type"] for body in BODIES])
def test_each_json_example_is_a_valid_task(service: Service, body: dict[str, Any]) -> None:
    answer = service.call("POST", "/api/tasks", json=body)
    assert answer.status_code == 201, answer.text
    task = answer.json()
    assert {name: task[name] for name in body} == body
    if body["task_type"] == "scheduled":
        assert len(task["next_runs"]) == 5
        assert all(moment.endswith("T00:00:00.000Z") for moment in task["next_runs"])
    service.call("DELETE", f"/api/tasks/{task['id']}")


def test_the_log_commands_find_lines(service: Service) -> None:
    service.finished(service.code("def f():\n    return 1\n")["id"])
    logs = service.environment["LOG_DIR"]
    done = run(service, f'grep "task" {logs}/task_manage.log')
    assert done.returncode == 0
    assert "submitted" in done.stdout
    assert run(service, f"timeout 1 tail -f {logs}/task_manage.log").stdout


def test_celery_is_inspected_as_written(service: Service) -> None:
    done = run(service, "celery -A celery_app inspect active")
    assert done.returncode == 0, done.stderr
    assert "1 node online" in done.stdout


def test_redis_cli_finds_the_redis(service: Service) -> None:
    if shutil.which("redis-cli") is None:
        pytest.skip("redis-cli is not installed here")
    done = run(service, f"redis-cli -p {service.redis_port} ping")
    assert done.stdout.strip() == "PONG"


def test_forbidden_modules_and_calls_of_the_guide_are_refused_with_their_line(service: Service) -> None:
    for line in ("import os", "import sys", "import subprocess", "eval('1')", "exec('1')", "open('/etc/passwd')"):
        body = {"name": "n", "task_type": "immediate", "function_name": "f", "function_code": f"def f():\n    {line}\n"}
        answer = service.call("POST", "/api/tasks", json=body)
        assert answer.status_code == 422, line
        (error,) = answer.json()["errors"]
        assert (error["pointer"], error["line"]) == ("/function_code", 2), line


def test_every_module_that_the_guide_allows_can_be_used(service: Service) -> None:
    source = """
import math, datetime, json, re, random
import collections, itertools, functools, operator

def f():
    random.seed(1)
    return [math.sqrt(9), str(datetime.date(2026, 1, 31)), json.dumps({"a": 1}), re.sub("a", "b", "aa"),
            random.randint(3, 3), dict(collections.Counter("aab")), list(itertools.chain([1], [2])),
            functools.reduce(operator.add, [1, 2, 3])]
"""
    ended = service.finished(service.code(source)["id"])
    assert ended["result"] == [3.0, "2026-01-31", '{"a": 1}', "bb", 3, {"a": 2, "b": 1}, [1, 2], 6], ended["error"]
