"""`python start.py` as a person uses it: up, down, killed, refused."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.integration.service import ROOT, wait_for
from tests.integration.sink import Sink
from tests.integration.started import PARTS, Started, gone, refusal
from tests.valkey import Valkey

QUICK = "def f():\n    return 1\n"
SLOW = "def f(n):\n    x = 0\n    for i in range(n):\n        x += i\n    return n\n"
ROUNDS = 60_000_000


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    """A service that is the test's own; nothing is started yet."""
    service = Started(tmp_path)
    try:
        yield service
    finally:
        service.stop()


def test_everything_comes_up_is_announced_and_ends_in_order_with_its_data_kept(started: Started) -> None:
    started.begin()
    for name in PARTS:
        assert re.search(rf"^{name} +ready +pid {started.part(name)} ", started.output, re.MULTILINE), started.output
    *_, sandbox, ready = started.output.splitlines()
    assert re.match("sandbox   holds   seccomp, rlimits, no_new_privs", sandbox)
    assert f"API http://localhost:{started.api_port}/api/health" in ready
    assert f"Flower http://localhost:{started.environment['FLOWER_PORT']} (user admin, password " in ready
    done = started.finished(started.code(QUICK)["id"])
    waiting = started.code(QUICK, task_type="delayed", delay_seconds=3600)
    family = started.family()
    assert len(family) > len(PARTS)

    assert started.signal(signal.SIGTERM) == 0
    stopped = re.findall(r"^([\w-]+) +stopped$", started.output, re.MULTILINE)
    assert stopped == ["beat", "api", "flower", "worker", "worker-2", "redis"]
    assert gone(family)
    assert not list(started.run_folder.glob("*.pid"))

    started.begin()
    assert started.task(done["id"])["result"] == 1
    assert started.task(waiting["id"])["status"] == "scheduled"


def test_ctrl_c_in_the_terminal_ends_everything_with_exit_code_0(started: Started) -> None:
    started.begin()
    family = started.family()
    assert started.starter is not None
    os.killpg(started.starter.pid, signal.SIGINT)
    assert started.starter.wait(60) == 0
    assert gone(family)


def test_what_is_waited_for_at_the_end_is_told_and_a_second_ctrl_c_kills_it(started: Started) -> None:
    started.begin()
    task = started.code("def f():\n    while True:\n        pass\n", timeout=50)
    started.running(task["id"])
    family = started.family()
    assert started.starter is not None
    started.starter.send_signal(signal.SIGINT)
    pattern = r"^(?:\S+  )?worker(?:-2)? +ending +it has \d+ s; Ctrl-C again kills it$"
    wait_for("its time limit", lambda: re.search(pattern, started.output, re.MULTILINE))
    assert started.signal(signal.SIGINT, seconds=8) == 0
    assert gone(family)


@pytest.mark.faults
@pytest.mark.parametrize("name", ["worker", "worker-2", "api", "redis", "beat", "flower"])
def test_a_part_that_is_killed_is_started_again_and_no_task_is_lost(started: Started, name: str) -> None:
    started.begin()
    tasks = [started.code(SLOW, ROUNDS), started.code(QUICK), started.code(QUICK, task_type="delayed", delay_seconds=1)]
    started.running(tasks[0]["id"])
    old = started.part(name)
    os.kill(old, signal.SIGKILL)
    wait_for(f"{name} again", lambda: re.search(rf"{name} was ended by SIGKILL .* started again", started.output))
    wait_for(f"{name} again", lambda: re.search(rf"\d  {name} +ready ", started.output), seconds=60)
    assert started.part(name) != old
    for task in tasks:
        assert started.finished(task["id"], seconds=60)["status"] == "succeeded"
    assert started.finished(started.code(QUICK)["id"])["result"] == 1


@pytest.mark.faults
def test_a_killed_start_leaves_no_process_and_the_next_one_ends_every_task(started: Started, sink: Sink) -> None:
    started.begin()
    slow = started.code(SLOW, ROUNDS)
    later = started.code(QUICK, task_type="delayed", delay_seconds=2)
    started.running(slow["id"])
    family = started.family()
    assert started.starter is not None
    started.starter.kill()
    started.starter.wait(10)
    wait_for("the end of all parts", lambda: gone(family), seconds=40)

    started.begin()
    assert started.finished(slow["id"], seconds=60)["result"] == ROUNDS
    assert started.finished(later["id"], seconds=60)["result"] == 1
    assert started.finished(started.submit(api_url=f"{sink.url}/get")["id"])["status"] == "succeeded"


def test_a_second_start_on_the_same_data_is_refused(started: Started) -> None:
    started.begin()
    assert started.starter is not None
    code, told = refusal(started.environment)
    assert code == 1
    assert f"start.py already runs on DATA_DIR={started.environment['DATA_DIR']} (pid {started.starter.pid})" in told
    assert started.finished(started.code(QUICK)["id"])["result"] == 1


def test_a_redis_that_answers_is_used_and_left_running(started: Started) -> None:
    with Valkey(started.folder / "valkey", "--port", str(started.redis_port), "--bind", "127.0.0.1") as server:
        started.begin()
        assert f"redis     found   localhost:{started.redis_port}, used as it is" in started.output
        assert "note" not in started.output
        assert started.finished(started.code(QUICK)["id"])["result"] == 1
        assert started.signal() == 0
        assert server.answers()


def test_a_redis_that_may_lose_tasks_is_used_with_a_warning(started: Started) -> None:
    options = ("--port", str(started.redis_port), "--bind", "127.0.0.1", "--appendonly", "no")
    with Valkey(started.folder / "valkey", *options, "--maxmemory-policy", "allkeys-lru"):
        started.begin()
        assert "redis     note    it writes no append-only file (appendonly no)" in started.output
        assert "redis     note    it throws data away when it is full (maxmemory-policy allkeys-lru)" in started.output


# --- what it refuses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["API_PORT", "FLOWER_PORT"])
def test_a_taken_port_is_named_with_its_setting(started: Started, setting: str) -> None:
    with socket.create_server(("127.0.0.1", int(started.environment[setting]))):
        code, told = refusal(started.environment)
    assert code == 1
    assert f"Port {started.environment[setting]} ({setting}) is taken" in told


def test_two_settings_with_one_port_are_named(started: Started) -> None:
    code, told = refusal({**started.environment, "FLOWER_PORT": started.environment["API_PORT"]})
    assert (code, told) == (1, f"API_PORT and FLOWER_PORT are both {started.api_port}: change one of them.\n")


def test_a_stranger_on_the_port_of_redis_is_told_apart(started: Started, sink: Sink) -> None:
    code, told = refusal({**started.environment, "REDIS_PORT": str(sink.server_port)})
    assert (code, "is taken by something that is not Redis" in told) == (1, True)


def test_a_named_redis_that_is_away_is_a_clear_failure(started: Started) -> None:
    code, told = refusal({**started.environment, "REDIS_HOST": "127.0.0.1"})
    assert code == 1
    assert told.startswith(f"Redis on 127.0.0.1:{started.redis_port} cannot be reached (connection refused): start it")


def test_a_redis_that_wants_another_password_is_a_clear_failure(started: Started) -> None:
    options = ("--port", str(started.redis_port), "--bind", "127.0.0.1", "--requirepass", "right")
    with Valkey(started.folder / "valkey", *options):
        code, told = refusal(started.environment)
        assert (code, "set REDIS_PASSWORD" in told) == (1, True)
        code, told = refusal({**started.environment, "REDIS_PASSWORD": "wrong-and-secret"})
        assert (code, "correct REDIS_PASSWORD" in told) == (1, True)
        assert "wrong-and-secret" not in told


@pytest.mark.parametrize("setting", ["DATA_DIR", "LOG_DIR"])
def test_a_folder_that_cannot_be_written_is_named(started: Started, setting: str) -> None:
    (started.folder / "a-file").write_text("", encoding="utf-8")
    code, told = refusal({**started.environment, setting: str(started.folder / "a-file" / "below")})
    assert code == 1
    assert told.startswith(f"{setting}={started.folder}/a-file/below cannot be written")


def test_all_wrong_settings_are_named_at_once(started: Started) -> None:
    wrong = {"API_PORT": "x", "TASK_TIMEOUT": "-1", "LOG_LEVEL": "LOUD", "HTTP_ALLOWED_NETWORKS": "10.0.0.0/99"}
    code, told = refusal({**started.environment, **wrong})
    assert code == 1
    assert told.startswith("These settings are wrong:\n")
    assert all(f"  {name}" in told for name in wrong), told


def test_production_without_secrets_is_refused(started: Started) -> None:
    code, told = refusal({**started.environment, "FLASK_ENV": "production", "SECRET_KEY": "your-secret-key"})
    assert code == 1
    assert "SECRET_KEY: is a well-known or trivial value. Make one with: openssl rand -hex 32" in told
    assert "JWT_SECRET_KEY: must be set in production." in told


def test_missing_packages_are_named_with_the_commands_that_install_them(started: Started, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    code, told = refusal(started.environment, python=str(tmp_path / "bare" / "bin" / "python"))
    assert code == 1
    assert re.match(r"These packages are missing: .*celery, .*redis", told)
    assert "\n  make start\n" in told
    assert "\n  .venv/bin/python -m pip install --require-hashes -r requirements.txt\n" in told


def test_help_is_there() -> None:
    done = subprocess.run(
        [sys.executable, "start.py", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert "--verbose" in done.stdout


def test_flower_wants_the_password_that_start_shows(started: Started) -> None:
    started.begin()
    found = re.search(r"\(user (\S+), password (\S+)\)", started.output)
    assert found
    url = f"http://127.0.0.1:{started.environment['FLOWER_PORT']}"
    for path in ("", "/metrics", "/api/workers"):
        assert requests.get(f"{url}{path}", timeout=10).status_code == 401
    assert "flower_worker_online" in requests.get(f"{url}/metrics", auth=(found[1], found[2]), timeout=10).text
    page = requests.get(f"{url}/workers", auth=(found[1], found[2]), timeout=10)
    assert page.status_code == 200
    done = started.finished(started.code(QUICK)["id"])
    listing = wait_for(
        "the run in Flower",
        lambda: requests.get(f"{url}/api/tasks", auth=(found[1], found[2]), timeout=10).json(),
    )
    assert done["last_run"]["id"] in listing
    assert "def f" not in str(listing)
