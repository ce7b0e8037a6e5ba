"""What the documents tell a newcomer to type, and the black-box check, against a running service."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.integration.service import ROOT, Service, free_port
from tests.integration.sink import Sink

START = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")


def shell(service: Service, command: str) -> str:
    """What a command of the page prints."""
    path = f"{Path(sys.executable).parent}:{service.environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command.replace("http://localhost:5000", service.url).replace("curl ", "curl -sS ")],
        cwd=ROOT,
        env={**service.environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_command_of_the_first_ten_minutes_works_as_written(service: Service, sink: Sink) -> None:
    blocks = [block.strip() for block in re.findall(r"```bash\n(.*?)```", START, re.DOTALL)]
    curls = [block for block in blocks if block.startswith("curl")]
    assert set(blocks) - set(curls) == {"make start", ".venv/bin/python test_system.py"}
    made: list[str] = []
    for block in curls:
        # A page talks of the task that it made before; in the end it ends the scheduled one of step 4.
        for command in re.split(r"\n(?=curl )", block):
            ends = command.endswith("/stop") or "-X DELETE" in command
            task_id = made[2 if ends else -1] if made else ""
            said = shell(service, command.replace("{task_id}", task_id).replace("https://httpbin.org", sink.url))
            assert "urn:tms:problem" not in said, (command, said)
            if " POST http://localhost:5000/api/tasks \\" in command:
                made.append(json.loads(said)["id"])
            elif command.endswith("/api/tasks/{task_id}") and not ends:
                assert service.finished(task_id)["result"] == "5 apples"
    assert service.finished(made[3])["result"]["json"] == {"hello": "world"}
    assert service.call("GET", f"/api/tasks/{made[2]}").status_code == 404
    assert len(made) == 4
    for task_id in made:
        service.call("DELETE", f"/api/tasks/{task_id}")


def system_check(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "test_system.py", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_the_black_box_check_passes_and_leaves_nothing_behind(service: Service) -> None:
    before = service.call("GET", "/api/tasks").json()["total"]
    done = system_check("--url", service.url)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    checks = [line for line in lines if re.search(r" \d+\.\d\d s  ok  ", line)]
    assert len(checks) >= 10
    assert f"{len(checks)} of {len(checks)} checks passed, 0 failed" in done.stdout
    assert service.call("GET", "/api/tasks").json()["total"] == before


def test_the_black_box_check_says_what_to_start_where_nothing_answers() -> None:
    done = system_check("--url", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "make start" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_the_black_box_check_fails_where_no_worker_lives_and_names_the_command(own_service: Service) -> None:
    own_service.start("redis", "api")
    done = system_check("--url", own_service.url)
    assert done.returncode == 1
    assert "celery -A celery_app worker --loglevel=info" in done.stdout
    assert "FAIL" in done.stdout


def test_a_worker_without_further_flags_neither_mingles_nor_gossips(service: Service) -> None:
    said = (service.folder / "worker.out").read_text(encoding="utf-8")
    assert " is ready" in said
    assert "mingle" not in said
    assert "gossip" not in said.lower()
