"""What must be true before anything is started: packages, folders, ports. Needs nothing but the standard library."""

from __future__ import annotations

import importlib.metadata
import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

from config.listening import Address, fault_of
from supervision.problems import CannotStart


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
        elif fault := fault_of(address):
            faults.append(fault)
        seen.setdefault(address.port, address.port_setting)
    if faults:
        raise CannotStart("\n".join(faults))
