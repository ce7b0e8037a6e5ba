"""Machines that are network namespaces of this one (ip-netns(8)), each with a cable to a switch of their own.

The switch is a namespace too: no packet of theirs can leave, and this machine's own network is not touched. Addresses
are from a range that is nobody's (RFC 5737).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path

NET = "198.51.100"
NETWORK = f"{NET}.0/24"
PREFIX = "tmstest"
#: clone(2): what setns(2) is told that a file names.
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def run(*words: str, check: bool = True, told: str | None = None) -> str:
    """What a command prints."""
    done = subprocess.run(words, input=told, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0 or not check, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


@cache
def why_not() -> str:
    """Why no such machines can be made here; empty where they can."""
    if os.geteuid():
        return "only root may make network namespaces"
    missing = [tool for tool in ("ip", "nft", "unshare") if shutil.which(tool) is None]
    if missing:
        return f"not installed here: {', '.join(missing)} (Debian's iproute2, nftables, util-linux)"
    try:
        with contextlib.closing(Network()) as network:
            network.machine("probe").run("nft", "add", "table", "inet", "probe")
    except (AssertionError, OSError) as error:
        return f"network namespaces are not to be had here: {error}"
    return ""


class Network:
    """A switch, and the machines that are plugged into it."""

    def __init__(self) -> None:
        self._name = f"{PREFIX}{os.getpid()}"
        self.machines: dict[str, Machine] = {}
        self.sweep()
        self.switch = f"{self._name}-switch"
        run("ip", "netns", "add", self.switch)
        run("ip", "-n", self.switch, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", self.switch, "link", "set", "dev", "bridge", "up")

    def machine(self, name: str) -> Machine:
        """One more machine."""
        number = len(self.machines) + 1
        made = self.machines[name] = Machine(name, f"{self._name}-{name}", f"{NET}.{number}", self.switch)
        made.plug()
        return made

    @staticmethod
    def sweep() -> None:
        """Remove what a run of these tests has left that was killed itself."""
        for line in run("ip", "netns", "list").splitlines():
            found = re.match(rf"{PREFIX}(\d+)-", line)
            if found and not Path("/proc", found[1]).exists():
                _remove(line.split()[0])

    def close(self) -> None:
        """Remove everything, and end whatever still runs on one of the machines."""
        for machine in self.machines.values():
            _remove(machine.namespace)
        _remove(self.switch)
        self.machines.clear()


class Machine:
    """A machine with an address, and a cable that can be pulled."""

    def __init__(self, name: str, namespace: str, address: str, switch: str) -> None:
        self.name, self.namespace, self.address, self._switch = name, namespace, address, switch
        #: Held by who harms it.
        self.lock = threading.Lock()

    def plug(self) -> None:
        """Make the machine, and connect it to the switch."""
        run("ip", "netns", "add", self.namespace)
        run("ip", "-n", self.namespace, "link", "add", "eth0", "type", "veth",
            "peer", "name", self.name, "netns", self._switch)  # fmt: skip
        run("ip", "-n", self._switch, "link", "set", "dev", self.name, "master", "bridge", "up")
        run("ip", "-n", self.namespace, "address", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            run("ip", "-n", self.namespace, "link", "set", "dev", device, "up")

    def prefix(self, **environment: str) -> tuple[str, ...]:
        """In front of a command: it runs on this machine, under its name, and keeps its pid."""
        start = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.name)
        settings = (f"{name}={value}" for name, value in environment.items())
        return ("ip", "netns", "exec", self.namespace, *start, "env", *settings)

    def run(self, *words: str, check: bool = True, told: str | None = None) -> str:
        """What a command prints on this machine."""
        return run("ip", "netns", "exec", self.namespace, *words, check=check, told=told)

    # --- what can happen to it -----------------------------------------------------------------------------------

    def cut(self) -> None:
        """Pull its cable."""
        run("ip", "-n", self._switch, "link", "set", "dev", self.name, "down")

    def drop(self, *, arriving: bool = False, leaving: bool = False, percent: int = 100) -> None:
        """Let so many of its packets vanish without a word, in one direction or both."""
        some = "" if percent == 100 else f"numgen random mod 100 < {percent} "
        chains = [
            f"chain {hook} {{ type filter hook {hook} priority 0; {direction} eth0 {some}drop; }}"
            for hook, direction, wanted in (("input", "iifname", arriving), ("output", "oifname", leaving))
            if wanted
        ]
        self.run("nft", "-f", "-", told=_table(*chains))

    def reset(self) -> None:
        """Break every connection of its with a reset, as a firewall does that has forgotten them."""
        chain = (
            "chain output { type filter hook output priority 0; oifname eth0 meta l4proto tcp reject with tcp reset; }"
        )
        self.run("nft", "-f", "-", told=_table(chain))

    def slow(self) -> None:
        """Late and irregular packets where the kernel can do that (tc-netem(8)), else a line of 250 kbit/s."""
        late = ("netem", "delay", "150ms", "100ms", "loss", "5%")
        narrow = ("tbf", "rate", "250kbit", "burst", "5kb", "latency", "1s")
        for rule in (late, narrow):
            with contextlib.suppress(AssertionError):
                self.run("tc", "qdisc", "replace", "dev", "eth0", "root", *rule)
                return

    def heal(self) -> None:
        """Undo all of that."""
        run("ip", "-n", self._switch, "link", "set", "dev", self.name, "up")
        self.run("nft", "delete", "table", "inet", "fault", check=False)
        self.run("tc", "qdisc", "delete", "dev", "eth0", "root", check=False)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be on this machine: the thread that asks, and the threads and processes that it starts meanwhile."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
            yield
        finally:
            _enter(home)
            os.close(there)
            os.close(home)


def _table(*chains: str) -> str:
    """A rule set of nft(8): what `heal` takes away again."""
    return "\n".join(("table inet fault {", *chains, "}"))


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _remove(namespace: str) -> None:
    if not Path("/run/netns", namespace).exists():
        return
    for pid in run("ip", "netns", "pids", namespace, check=False).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    run("ip", "netns", "delete", namespace, check=False)
