"""What a process has used, asked of the kernel directly: the module `resource` makes sixteen numbers of each answer."""

from __future__ import annotations

import ctypes

from tasks.sandbox.wire import ENDED

_libc = ctypes.CDLL(None)
_getrusage, _wait4 = _libc.getrusage, _libc.wait4
# struct rusage of getrusage(2): two struct timeval, then ru_maxrss in KiB and 13 more.
_found = (ctypes.c_long * 18)()
_status = ctypes.c_int()
_own = (ctypes.c_int(0), ctypes.byref(_found))  # RUSAGE_SELF


def _told() -> tuple[float, int]:
    """CPU seconds and bytes."""
    user, user_micro, system, system_micro, peak = _found[:5]
    return user + system + (user_micro + system_micro) * 1e-6, peak * 1024


def used() -> tuple[float, int]:
    """CPU seconds and peak memory in bytes of this process."""
    _getrusage(*_own)
    return _told()


def wait(pid: int) -> bytes | None:
    """Reap a child that is dead or dying; how it ended, as `wire` tells it to the host, or None if there is no such."""
    if _wait4(pid, ctypes.byref(_status), 0, ctypes.byref(_found)) != pid:
        return None
    return ENDED.pack(_status.value, *_told())
