"""fork(2) as a zygote of one thread can afford it: without the ceremonies that CPython holds around it.

os.fork() runs the hooks of os.register_at_fork and makes the interpreter's locks anew in the child, for which a child
copies sixty pages. In a process of one thread those locks are as they were, and the one hook there is, a new seed for
`random`, is of use only to code that draws from it: `facades` sees to it.
"""

from __future__ import annotations

import ctypes
import os

# PyDLL: the interpreter's lock stays held over the call, so that the child has it too.
_FORK = ctypes.PyDLL(None, use_errno=True).fork


def fork() -> int:
    """0 in the child, its process id in the parent. Raises OSError."""
    pid: int = _FORK()
    if pid < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return pid
