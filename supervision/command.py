"""What `start.py` does once its packages are there: check, plan, supervise, end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from config import logs
from config.settings import InvalidSettings, Settings, load
from supervision import containment, lock, parts, preflight, redis_server
from supervision.console import Console
from supervision.leftovers import end_leftovers
from supervision.problems import CannotStart
from supervision.readiness import Readiness
from supervision.service import Plan, Service
from supervision.signals import Signals
from supervision.supervisor import Supervisor

#: In this order the parts end: nothing new is fired or accepted while the worker finishes what it has.
ENDING_ORDER = ("beat", "api", "flower", "worker", "redis")


def run(root: Path, environment: dict[str, str], *, verbose: bool) -> int:
    """Run the service in the folder `root` until a signal comes; the exit code."""
    started = time.monotonic()
    _open_standard_streams()
    try:
        settings = load()
        preflight.check_folder(settings.data_dir, "DATA_DIR")
        preflight.check_folder(settings.log_dir, "LOG_DIR")
        folder = settings.data_dir / "run"
        folder.mkdir(exist_ok=True)
        held = lock.hold(folder)
    except InvalidSettings as error:
        return _refuse(f"These settings are wrong:\n{error}")
    except CannotStart as error:
        return _refuse(str(error))
    console = Console(verbose=verbose)
    signals = Signals()
    try:
        plans = _plans(settings, folder, console)
        environment |= {"DATA_DIR": str(settings.data_dir), "LOG_DIR": str(settings.log_dir), "PYTHONUNBUFFERED": "1"}
        environment["SANDBOX_CONCURRENCY"] = str(parts.code_slots(settings))
        services = [Service(plan, environment=environment, folder=root, run=folder, console=console) for plan in plans]
        return _supervise(services, settings, signals, console, started)
    except CannotStart as error:
        console.close()
        return _refuse(str(error))
    except OSError as error:
        console.close()
        return _refuse(f"{error.filename or 'A file'} cannot be used ({error.strerror}): see DATA_DIR and LOG_DIR.")
    finally:
        console.close()
        os.close(held)


def _open_standard_streams() -> None:
    """Where standard input, output or error is closed, no file of ours may get its number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


def _plans(settings: Settings, folder: Path, console: Console) -> list[Plan]:
    planned = parts.of(settings)
    server = parts.redis(settings)
    everything = [*planned, server] if server else planned
    end_leftovers(folder, {plan.name: (plan.command, plan.grace) for plan in everything}, console.say)
    addresses = parts.addresses(settings)
    found = redis_server.find(settings)
    if found:
        console.say(f"redis     found   {settings.redis_shown}, used as it is and left running at the end")
        for warning in found.warnings:
            console.say(f"redis     note    {warning}")
        preflight.check_ports(addresses)
        return planned
    if server is None:
        raise CannotStart("No embedded Redis exists for this kind of machine: start a Redis on localhost.")
    preflight.check_ports([parts.redis_address(settings), *addresses])
    redis_server.folder(settings).mkdir(mode=0o700, exist_ok=True)
    return [server, *planned]


def _supervise(services: list[Service], settings: Settings, signals: Signals, console: Console, started: float) -> int:
    has_redis = services[0].plan.name == "redis"
    supervisor = Supervisor(services, first_is_needed=has_redis, signals=signals, console=console)
    try:
        logs.configure(settings, "start", console=False)
        lasted = supervisor.run(_announcement(settings, console, started))
    finally:
        supervisor.stop(ENDING_ORDER)
    return 0 if lasted else 1


def _announcement(settings: Settings, console: Console, started: float) -> Callable[[], None]:
    def announce() -> None:
        taken = time.monotonic() - started
        console.say(containment.line(Readiness(settings).health()))
        console.say(f"Ready in {taken:.1f} s.   {parts.where(settings)}   Ctrl-C ends it.")

    return announce
