"""One start.py for each DATA_DIR."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from supervision.problems import CannotStart


def hold(run: Path) -> int:
    """Hold the folder `run` for the life of this process; the lock's descriptor.

    Raises CannotStart where another start.py holds it.
    """
    lock = os.open(run / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise CannotStart(
            f"start.py already runs on DATA_DIR={run.parent} (pid {holder}): stop that one, "
            "or set DATA_DIR to another folder."
        ) from None
    os.truncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock
