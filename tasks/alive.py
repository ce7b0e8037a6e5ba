"""`python -m tasks.alive worker|beat`: exit code 0 where this host's worker, or any beat, has a heartbeat in Redis."""

from __future__ import annotations

import socket
import sys

from config.settings import load
from tasks.errors import StoreUnavailable
from tasks.store import Store

#: Seconds for one answer of Redis.
PATIENCE = 3.0


def alive(process: str) -> bool:
    """Whether the process is heard of. Raises StoreUnavailable."""
    health = Store(load().redis_address, timeout=PATIENCE).health(())
    if process == "beat":
        return bool(health["beat"]["alive"])
    return any(worker["host"] == socket.gethostname() for worker in health["workers"])


def main() -> int:
    """The exit code for a container's health check."""
    if sys.argv[1:] not in (["worker"], ["beat"]):
        sys.stderr.write("usage: python -m tasks.alive worker|beat\n")
        return 2
    try:
        return 0 if alive(sys.argv[1]) else 1
    except StoreUnavailable as error:
        sys.stderr.write(f"{error.message}\n")
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
