"""Where a process will listen, and why it cannot. Imports nothing but the standard library."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a process will listen, and the settings that say so."""

    host: str
    port: int
    host_setting: str
    port_setting: str


def fault_of(address: Address) -> str | None:
    """Why nobody can listen there now, and which setting to change; None where one can."""
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
