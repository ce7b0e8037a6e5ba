"""The Celery side: importing it reads nothing, a message says nothing, and its settings are those that lose nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

import celery_app
from tests.make import make_settings

ROOT = Path(__file__).resolve().parents[2]


def python(source: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """What a fresh Python says to this, with these variables."""
    return subprocess.run(
        [sys.executable, "-c", source],
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def app(tmp_path: Path) -> celery_app.TaskApp:
    return celery_app.build(make_settings(tmp_path, redis_url="redis://:s%20ecret@localhost:7777/3"))


def test_importing_reads_no_environment_and_writes_nothing(tmp_path: Path) -> None:
    done = python("import celery_app, api.server", API_PORT="nonsense", DATA_DIR=str(tmp_path / "var"))
    assert (done.returncode, done.stderr, list(tmp_path.iterdir())) == (0, "", [])


def test_the_app_of_bad_settings_says_what_is_wrong_without_a_traceback() -> None:
    done = python("import celery_app; celery_app.app", API_PORT="nonsense", REDIS_DB="99")
    assert done.returncode == 1
    assert done.stderr.startswith("These settings are wrong:\n")
    assert "API_PORT" in done.stderr
    assert "REDIS_DB" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_the_module_does_not_have_it_does_not_have() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = celery_app.nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_acks_late", False),
        ("task_ignore_result", True),
        ("result_backend", None),
        ("task_publish_retry", False),
        ("worker_pool", "threads"),
        ("worker_disable_prefetch", True),
        ("worker_concurrency", 200),
        ("worker_hijack_root_logger", False),
        ("broker_connection_max_retries", None),
        ("broker_connection_retry_on_startup", True),
        ("broker_channel_error_retry", True),
        ("accept_content", ["json"]),
        ("task_serializer", "json"),
        ("task_create_missing_queues", False),
        ("beat_scheduler", "tasks.scheduler:DueScheduler"),
        ("timezone", "UTC"),
    ],
)
def test_the_configuration_is_the_one_that_loses_nothing(app: celery_app.TaskApp, name: str, value: object) -> None:
    assert app.conf[name] == value


def test_no_answer_of_redis_is_waited_for_for_ever(app: celery_app.TaskApp) -> None:
    options = app.conf.broker_transport_options
    assert options["socket_timeout"] == options["socket_connect_timeout"] == celery_app.PATIENCE
    assert options["retry_on_timeout"] is False
    assert options["health_check_interval"] > 0
    hurried = celery_app.build(app.settings, patience=1.3)
    assert hurried.conf.broker_transport_options["socket_timeout"] == 1.3


def test_the_broker_is_the_redis_of_the_settings_with_its_password(app: celery_app.TaskApp) -> None:
    connection: Connection = app.connection()
    assert (connection.hostname, connection.port, connection.password) == ("localhost", 7777, "s ecret")
    assert str(connection.virtual_host).strip("/") == "3"


def test_there_is_one_task_and_it_takes_a_run_id(app: celery_app.TaskApp) -> None:
    ours = [name for name in app.tasks if not name.startswith("celery.")]
    assert ours == ["tasks.execute"]
    heard: list[str] = []

    class Ear:
        def hear(self, run_id: str) -> None:
            heard.append(run_id)

    app.__dict__["runner"] = Ear()
    task: Any = app.tasks["tasks.execute"]
    for run_id in ("a.1", 5, "x" * 500):
        task.run(run_id)
    assert heard == ["a.1", "5", "x" * 80]


def test_health_checks_know_their_two_processes_only() -> None:
    for arguments in ([], ["flower"], ["worker", "beat"]):
        done = subprocess.run(
            [sys.executable, "-m", "tasks.alive", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (2, "usage: python -m tasks.alive worker|beat\n")


def test_a_health_check_without_redis_fails_and_says_why() -> None:
    done = python("import sys; sys.argv[1:] = ['beat']; from tasks.alive import main; sys.exit(main())", REDIS_PORT="1")
    assert done.returncode == 1
    assert json.dumps(done.stderr) == json.dumps("Redis does not answer.\n")


def test_celery_asks_the_sentinels_that_the_store_asks(tmp_path: Path) -> None:
    app = celery_app.build(
        make_settings(
            tmp_path,
            redis_sentinels="one:1,two:2",
            redis_sentinel_master="tasks",
            redis_password="s ecret",
            redis_sentinel_password="other",
            redis_db=3,
        )
    )
    with app.connection_for_read() as connection:
        assert connection.alt == ["sentinel://:s%20ecret@one:1/3", "sentinel://:s%20ecret@two:2/3"]
        assert (connection.password, connection.virtual_host) == ("s ecret", "3")
        assert connection.transport_cls.endswith("SentinelTransport") or connection.transport_cls == "sentinel"
        assert "s ecret" not in connection.as_uri()
    options = app.conf.broker_transport_options
    assert options["master_name"] == "tasks"
    assert options["sentinel_kwargs"]["password"] == "other"
    assert options["sentinel_kwargs"]["retry"] is None
    assert "other" not in str(app.conf.table(censored=True)["broker_transport_options"])
