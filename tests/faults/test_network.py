"""The machines that the tests make of network namespaces: what they can reach, and that nothing of them stays."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.faults import network
from tests.faults.network import Network
from tests.integration.service import ROOT, wait_for

pytestmark = pytest.mark.faults

#: Makes a machine with a process on it, and is killed before it can clean up.
KILLED = """
import os, signal, subprocess
from tests.faults.network import Network
machine = Network().machine("left")
subprocess.Popen([*machine.prefix(), "sleep", "600"])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def made() -> Iterator[Network]:
    if why := network.why_not():
        pytest.skip(why)
    made = Network()
    yield made
    made.close()


def reaches(source: network.Machine, target: network.Machine) -> bool:
    """Whether a connection arrives: nobody listens, so that it is refused at once, or nothing comes back."""
    probe = (
        "import socket, sys\n"
        "try: socket.create_connection((sys.argv[1], 9), 0.5)\n"
        "except ConnectionRefusedError: print('refused')\n"
        "except OSError as error: print(error)"
    )
    return source.run(sys.executable, "-c", probe, target.address).strip() == "refused"


def test_machines_reach_each_other_until_something_happens_to_one(made: Network) -> None:
    a, b = made.machine("a"), made.machine("b")
    assert reaches(a, b)
    for harm in (b.cut, lambda: b.drop(arriving=True), lambda: b.drop(leaving=True)):
        harm()
        assert not reaches(a, b)
        b.heal()
        assert reaches(a, b)


def test_nothing_of_them_stays(made: Network) -> None:
    machine = made.machine("a")
    process = subprocess.Popen([*machine.prefix(), "sleep", "600"])
    wait_for("its process", lambda: network.run("ip", "netns", "pids", machine.namespace).split())
    made.close()
    assert process.wait(10) == -signal.SIGKILL
    assert machine.namespace not in network.run("ip", "netns", "list")


def test_what_a_killed_run_has_left_is_removed_by_the_next(made: Network) -> None:
    killed = subprocess.Popen([sys.executable, "-c", KILLED], cwd=ROOT)
    assert killed.wait(30) == -signal.SIGKILL
    left = f"{network.PREFIX}{killed.pid}-left"
    assert left in network.run("ip", "netns", "list")
    Network.sweep()
    assert left not in network.run("ip", "netns", "list")
