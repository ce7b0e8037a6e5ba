"""The parts of the service: the command of each, how it shows that it works, how long it may take to end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from config.flower_login import flower_login
from config.listening import Address
from config.settings import Settings
from supervision import redis_server
from supervision.readiness import Readiness, reachable
from supervision.service import Plan

#: Seconds besides GRACE_SECONDS in which a worker gives its runs back and goes.
WORKER_MARGIN = 10.0


def of(settings: Settings) -> list[Plan]:
    """API, workers, beat and Flower."""
    ask = Readiness(settings)
    celery = (sys.executable, "-m", "celery", "-A", "celery_app")
    talk = "--loglevel=info"
    return [
        Plan(name="api", command=(sys.executable, "celery_app.py"), is_ready=ask.api, grace=15),
        *(
            Plan(
                name=name,
                command=(*celery, "worker", talk, *host),
                is_ready=ask.worker,
                grace=settings.grace_seconds + WORKER_MARGIN,
            )
            for name, host in _workers(settings.worker_processes)
        ),
        Plan(name="beat", command=(*celery, "beat", talk), is_ready=ask.beat, grace=10),
        Plan(name="flower", command=(*celery, "flower"), is_ready=ask.flower, grace=5),
    ]


def _workers(count: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names of worker processes, and what makes each a node of its own to Celery."""
    yield "worker", ()
    for number in range(2, count + 1):
        yield f"worker-{number}", (f"--hostname=celery-{number}@%h",)


def code_slots(settings: Settings) -> int:
    """Code runs at once in each worker process, so that all of them together are as many as one alone would do."""
    if settings.sandbox_concurrency is not None:
        return settings.sandbox_concurrency
    return max(1, settings.code_slots // settings.worker_processes)


def redis(settings: Settings) -> Plan | None:
    """The embedded Redis; None where there is none for this kind of machine."""
    program = redis_server.binary()
    if program is None:
        return None
    return Plan(
        name="redis",
        command=(str(program), "-"),
        is_ready=Readiness(settings).redis,
        grace=30,
        given=redis_server.configuration(settings),
        remark=f"127.0.0.1:{settings.redis_port}, data in {_shown(redis_server.folder(settings))}",
    )


def redis_address(settings: Settings) -> Address:
    """Where the embedded Redis will listen."""
    return Address(host="127.0.0.1", port=settings.redis_port, host_setting="REDIS_HOST", port_setting="REDIS_PORT")


def addresses(settings: Settings) -> list[Address]:
    """Where the API and Flower will listen."""
    return [
        Address(host=settings.api_host, port=settings.api_port, host_setting="API_HOST", port_setting="API_PORT"),
        Address(
            host=settings.flower_host,
            port=settings.flower_port,
            host_setting="FLOWER_HOST",
            port_setting="FLOWER_PORT",
        ),
    ]


def where(settings: Settings) -> str:
    """The URLs for a person, with Flower's login where it was made here."""
    login, made = flower_login(settings)
    name, _, password = login.partition(":")
    entrance = f" (user {name}, password {password})" if made else ""
    api = f"API {_url(settings.api_host, settings.api_port)}/api/health"
    return f"{api}   Flower {_url(settings.flower_host, settings.flower_port)}{entrance}"


def _url(host: str, port: int) -> str:
    host = reachable(host)
    host = "localhost" if host in ("127.0.0.1", "::1") else host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
