"""Faults of containers, done by the engine: each breaks one thing, and puts it right again before it returns."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from tests.faults.deployment import Deployment
from tests.faults.mischief import (
    Fault,
    cut_connections_ten_times,
    fill_redis,
    lose_the_bells,
    make_redis_read_only,
    ring_ten_times,
)
from tests.faults.stage import pause

#: Kills all processes of a container but the first, as a crash would; the engine's restart policy does the rest.
CRASH = "import os; os.kill(-1, 9)"
#: Kills one of the processes that the worker has started: its sandbox, or a child of that.
SANDBOX = """
import os, pathlib, random
parents = {
    int(each.name): int((each / 'stat').read_text().rsplit(')', 1)[1].split()[1])
    for each in pathlib.Path('/proc').iterdir() if each.name.isdigit()
}
found = [pid for pid, parent in parents.items() if parent > 1]
if found:
    os.kill(random.choice(found), 9)
"""


def kill(service: str, *, all_of_them: bool = False) -> Callable[[Deployment, random.Random], None]:
    """`docker kill`, and `docker start` after a while."""

    def fault(stage: Deployment, dice: random.Random) -> None:
        names = stage.containers(service)
        names = names if all_of_them else [dice.choice(names)]
        stage.do("kill", *names)
        pause(dice.choice((0, 0, 1, 3)))
        for name in names:
            stage.revive(name)

    return _named(fault, f"docker kill {'every ' if all_of_them else ''}{service}")


def freeze(service: str, seconds: tuple[float, ...]) -> Callable[[Deployment, random.Random], None]:
    """`docker pause`, and `docker unpause` after one of these times."""

    def fault(stage: Deployment, dice: random.Random) -> None:
        _freeze(stage, dice.choice(stage.containers(service)), dice.choice(seconds))

    return _named(fault, f"docker pause {service}")


def freeze_past_the_lease(stage: Deployment, dice: random.Random) -> None:
    """In the background: the others go on meanwhile, and other faults come."""
    name = dice.choice(stage.containers("worker"))
    threading.Thread(target=_freeze, args=(stage, name, 40), daemon=True).start()


def restart(service: str) -> Callable[[Deployment, random.Random], None]:
    """`docker restart`: SIGTERM, and SIGKILL where that takes too long."""

    def fault(stage: Deployment, dice: random.Random) -> None:
        stage.do("restart", "-t", dice.choice(("1", "10")), dice.choice(stage.containers(service)))

    return _named(fault, f"docker restart {service}")


def unplug(service: str) -> Callable[[Deployment, random.Random], None]:
    """`docker network disconnect`, and `connect` after a while."""

    def fault(stage: Deployment, dice: random.Random) -> None:
        name = dice.choice(stage.containers(service))
        stage.do("network", "disconnect", "--force", stage.network, name)
        pause(dice.choice((1, 3, 8)))
        stage.do("network", "connect", "--alias", service, stage.network, name)

    return _named(fault, f"docker network disconnect {service}")


def crash(service: str) -> Callable[[Deployment, random.Random], None]:
    """All processes die, and nobody but the engine starts them again."""

    def fault(stage: Deployment, dice: random.Random) -> None:
        stage.do("exec", dice.choice(stage.containers(service)), "python", "-c", CRASH)

    return _named(fault, f"crash {service}")


def kill_the_sandbox(stage: Deployment, dice: random.Random) -> None:
    stage.do("exec", dice.choice(stage.containers("worker")), "python", "-c", SANDBOX)


def _freeze(stage: Deployment, name: str, seconds: float) -> None:
    stage.do("pause", name)
    pause(seconds)
    stage.do("unpause", name)


def _named(fault: Fault, name: str) -> Fault:
    fault.__name__ = name.replace(" ", "_")
    return fault


#: Each fault with how often it comes, relative to the others.
CONTAINER_FAULTS: dict[Fault, int] = {
    kill("worker"): 4,
    kill("worker", all_of_them=True): 1,
    kill("beat"): 3,
    kill("beat", all_of_them=True): 1,
    kill("api"): 2,
    kill("redis"): 3,
    freeze("worker", (1, 3, 6)): 2,
    freeze_past_the_lease: 1,
    freeze("beat", (1, 4, 8)): 2,
    freeze("api", (1, 4)): 1,
    freeze("redis", (1, 3, 6, 15)): 2,
    restart("worker"): 2,
    restart("beat"): 1,
    restart("api"): 1,
    restart("redis"): 1,
    unplug("worker"): 2,
    unplug("beat"): 1,
    unplug("redis"): 1,
    crash("worker"): 2,
    crash("beat"): 1,
    kill_the_sandbox: 3,
    lose_the_bells: 2,
    ring_ten_times: 2,
    cut_connections_ten_times: 1,
    fill_redis: 1,
    make_redis_read_only: 1,
}
