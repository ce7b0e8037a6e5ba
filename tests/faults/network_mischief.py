"""Faults of the network between machines: each breaks one thing, and puts it right again before it returns."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from tests.faults.machines import Machines
from tests.faults.mischief import FAULTS, Fault
from tests.faults.network import Machine
from tests.faults.stage import pause

#: Where the workers and the beats are.
AWAY = ("b", "c")


def cut_a_machine_off(stage: Machines, dice: random.Random) -> None:
    _while(stage, dice.choice(AWAY), Machine.cut, dice.choice((1, 3, 8)))


def cut_a_machine_off_past_its_leases(stage: Machines, dice: random.Random) -> None:
    """In the background: the other goes on meanwhile, and other faults come."""
    threading.Thread(target=_while, args=(stage, dice.choice(AWAY), Machine.cut, 40), daemon=True).start()


def cut_redis_off(stage: Machines, dice: random.Random) -> None:
    _while(stage, "a", Machine.cut, dice.choice((1, 3, 8)))


def let_a_machine_speak_and_not_hear(stage: Machines, dice: random.Random) -> None:
    _while(stage, dice.choice(AWAY), lambda host: host.drop(arriving=True), dice.choice((1, 4, 8)))


def let_a_machine_hear_and_not_speak(stage: Machines, dice: random.Random) -> None:
    _while(stage, dice.choice(AWAY), lambda host: host.drop(leaving=True), dice.choice((1, 4, 8)))


def lose_packets(stage: Machines, dice: random.Random) -> None:
    percent = dice.choice((5, 20, 40))
    _while(stage, dice.choice("abc"), lambda host: host.drop(arriving=True, leaving=True, percent=percent), 6)


def slow_the_line(stage: Machines, dice: random.Random) -> None:
    _while(stage, dice.choice("abc"), Machine.slow, 6)


def reset_every_connection(stage: Machines, dice: random.Random) -> None:
    _while(stage, dice.choice("abc"), Machine.reset, dice.choice((0.5, 2)))


def _while(stage: Machines, name: str, harm: Callable[[Machine], None], seconds: float) -> None:
    """Harm a machine for so long; where it is being harmed already, let that be enough."""
    host = stage.hosts[name]
    if host.lock.acquire(blocking=False):
        try:
            harm(host)
            pause(seconds)
            host.heal()
        finally:
            host.lock.release()


#: Each fault of the network with how often it comes, relative to the others.
LINES: dict[Fault, int] = {
    cut_a_machine_off: 6,
    cut_a_machine_off_past_its_leases: 2,
    cut_redis_off: 4,
    let_a_machine_speak_and_not_hear: 5,
    let_a_machine_hear_and_not_speak: 5,
    lose_packets: 5,
    slow_the_line: 4,
    reset_every_connection: 5,
}
#: These, and all that may happen to processes.
NETWORK_FAULTS: dict[Fault, int] = {**FAULTS, **LINES}
