"""`python celery_app.py`: what it says on the terminal, and why it does not start."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.integration.service import ROOT, Service, wait_for

NOBODY = "nobody can log in"


def said(service: Service) -> str:
    return (service.folder / "api.out").read_text(encoding="utf-8")


def test_it_says_where_it_listens(own_service: Service) -> None:
    own_service.start("redis", "api")
    assert f"http://127.0.0.1:{own_service.api_port}" in said(own_service)
    assert NOBODY not in said(own_service)
    assert own_service.kill("api", signal.SIGTERM) == 0


def test_a_taken_port_is_said_in_one_line_that_names_the_setting(own_service: Service) -> None:
    with socket.create_server(("127.0.0.1", own_service.api_port)):
        done = subprocess.run(
            own_service.commands["api"],
            cwd=ROOT,
            env=own_service.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert f"Port {own_service.api_port} (API_PORT) is taken" in line


@pytest.mark.parametrize(("password", "warned"), [("", True), ("right horse, wrong staple", False)])
def test_it_warns_where_tokens_are_wanted_and_nobody_can_get_one(tmp_path: Path, password: str, warned: bool) -> None:
    service = Service(tmp_path, AUTH_REQUIRED="true", ADMIN_PASSWORD=password)
    try:
        service.start("redis", "api")
        if not warned:
            assert NOBODY not in said(service)
            return
        wait_for("the warning", lambda: NOBODY in said(service))
        assert said(service).count(NOBODY) == 1
        assert "python start.py create-admin" in said(service)
        made = subprocess.run(
            [service.commands["api"][0], "start.py", "create-admin", "olga"],
            cwd=ROOT,
            env=service.environment,
            input="right horse, wrong staple\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        service.kill("api", signal.SIGTERM)
        (service.folder / "api.out").unlink()
        service.start("api")
        assert NOBODY not in said(service)
    finally:
        service.stop()
