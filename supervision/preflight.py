"""What must be true before anything is started: packages, folders, ports. Imports nothing but the standard library."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import re
import socket
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from supervision.problems import CannotStart


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a process will listen, and the settings that say so."""

    host: str
    port: int
    host_setting: str
    port_setting: str


def missing_packages(project: Path) -> list[str]:
    """The direct dependencies named in the file `project` (pyproject.toml) that are not installed."""
    wanted = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    names = [re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in wanted]
    return [name for name in names if not _installed(name)]


def _installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def check_folder(path: Path, setting: str) -> None:
    """Make the folder where it is missing. Raises CannotStart where no file can be made in it."""
    trial = path / f".writable-{os.getpid()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise CannotStart(
            f"{setting}={path} cannot be written ({error.strerror}): make it writable, or set {setting} to a folder "
            "that is."
        ) from None


def check_ports(addresses: Sequence[Address]) -> None:
    """Raises CannotStart that names each address nobody can listen on now, and the setting to change."""
    faults: list[str] = []
    seen: dict[int, str] = {}
    for address in addresses:
        if address.port in seen:
            faults.append(
                f"{seen[address.port]} and {address.port_setting} are both {address.port}: change one of them."
            )
        elif fault := _port_fault(address):
            faults.append(fault)
        seen.setdefault(address.port, address.port_setting)
    if faults:
        raise CannotStart("\n".join(faults))


def _port_fault(address: Address) -> str | None:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, place in found[:1]:
            with socket.socket(family, kind, protocol) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind(place)
                trial.listen(1)
    except socket.gaierror:
        return f"{address.host_setting}={address.host} is no address: correct {address.host_setting}."
    except OSError as error:
        return _bind_fault(address, error)
    return None


def _bind_fault(address: Address, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {address.port} ({address.port_setting}) is taken: stop what uses it, "
            f"or set {address.port_setting} to a free port."
        )
    if error.errno == errno.EACCES:
        return f"Port {address.port} ({address.port_setting}) is not allowed to this user: take one above 1023."
    return (
        f"Nothing can listen on {address.host}:{address.port} ({error.strerror}): "
        f"correct {address.host_setting} or {address.port_setting}."
    )
