"""The API process: settings, then the manager, then the app, then gunicorn."""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from api import create_app, identity
from api.together import worker_class
from config import logs
from config.listening import Address, fault_of
from config.settings import InvalidSettings, Settings, load
from tasks import __version__
from tasks.errors import StoreUnavailable
from tasks.store.accounts import Accounts
from tasks.task_manager import TaskManager

log = logging.getLogger(__name__)

#: Seconds for one answer of Redis. A request that meets a frozen Redis answers 503 within 3 s: at most two such waits.
PATIENCE = 1.3


class SharedLog(Logger):
    """Gunicorn's own messages go where ours go; it keeps no log of requests."""

    def setup(self, cfg: Any) -> None:  # noqa: ARG002 - gunicorn's signature
        """Add no handlers: config/logs.py has set up the root."""
        self.error_log.propagate = True
        self.error_log.setLevel(logging.WARNING)
        self.access_log.disabled = True


class Server(BaseApplication):
    """Gunicorn: a few processes with many threads each, which wait for Redis and not for each other."""

    def __init__(
        self,
        settings: Settings,
        build: Callable[[], Flask],
        leaving: threading.Event,
        announce: Callable[[], None] = lambda: None,
    ) -> None:
        """`announce` is called once, when the API listens."""
        self._settings = settings
        self._announce = announce
        self._leaving = leaving
        self._build = build
        super().__init__()

    def load_config(self) -> None:
        """Gunicorn's settings, all from ours."""
        host = f"[{self._settings.api_host}]" if ":" in self._settings.api_host else self._settings.api_host
        chosen = {
            "bind": [f"{host}:{self._settings.api_port}"],
            "workers": self._settings.api_process_count,
            "worker_class": worker_class(
                self._settings.slow_client_seconds, self._settings.max_body_bytes, self._leaving
            ),
            "worker_connections": self._settings.max_connections,
            "backlog": 2048,
            # Nobody in front of us may set SCRIPT_NAME, the scheme or an address by a header; see TRUSTED_PROXIES.
            "forwarded_allow_ips": "",
            "threads": self._settings.api_threads,
            "timeout": 60,
            "graceful_timeout": 10,
            "keepalive": 30,
            "logger_class": SharedLog,
            "control_socket_disable": True,
            "proc_name": "tms-api",
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

        self.cfg.set("when_ready", lambda _: self._announce())

    def load(self) -> Any:
        """The application, made in the process that serves it."""
        made = self._build()
        # It stays: a collection that looks at all of it holds every request up for a tenth of a second.
        gc.collect()
        gc.freeze()
        return made


def application(settings: Settings, build: Callable[..., Any], leaving: threading.Event) -> Flask:
    """The WSGI application; `build` makes the Celery side for settings, `leaving` is set when the process is to end."""
    celery = build(settings, patience=PATIENCE)
    manager = TaskManager(
        store=celery.store, bell=celery.bell, kinds=celery.kinds, settings=settings, who=identity.current
    )
    for kind in celery.kinds.values():
        kind.prestart(runs=False)
    accounts = Accounts(celery.store.connection)
    return create_app(settings, manager, celery.kinds, accounts, leaving=leaving.is_set)


def announce(settings: Settings, build: Callable[..., Any]) -> None:
    """Say where the API listens, and what keeps everybody out of it."""
    host = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
    with contextlib.suppress(OSError, ValueError):  # nobody need read it
        sys.stdout.write(f"The API listens on http://{host}:{settings.api_port} (/api/docs). Ctrl-C ends it.\n")
        sys.stdout.flush()
    if not settings.auth_is_required or settings.admin_password is not None:
        return
    store = build(settings, patience=PATIENCE).store
    try:
        found, _ = Accounts(store.connection).users(limit=1)
    except StoreUnavailable:
        return
    finally:
        store.close()
    if not found:
        log.warning(
            "nobody can log in: calls need a token and there is no user; "
            "make one with: python start.py create-admin (or set ADMIN_PASSWORD)"
        )


def main(build: Callable[..., Any]) -> int:
    """Serve until a signal ends it; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python celery_app.py",
        description="Serves the API on API_HOST:API_PORT. Settings come from the environment; see config/settings.py.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.parse_args()
    try:
        settings = load()
        logs.configure(settings, "api")
    except InvalidSettings as error:
        sys.stderr.write(f"These settings are wrong:\n{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"LOG_DIR cannot be written: {error}\n")
        return 1
    address = Address(host=settings.api_host, port=settings.api_port, host_setting="API_HOST", port_setting="API_PORT")
    if fault := fault_of(address):
        sys.stderr.write(f"{fault}\n")
        return 1
    sys.argv[1:] = []
    # Made before gunicorn forks: each of its processes has one of its own.
    leaving = threading.Event()
    Server(
        settings,
        lambda: application(settings, build, leaving),
        leaving,
        lambda: announce(settings, build),
    ).run()
    return 0
