"""The kernel layer: what a freshly forked child gives up for good before it meets a stranger's code.

Sources of the constants: prctl(2), seccomp(2), landlock(7) and linux/{prctl,seccomp,landlock}.h, setrlimit(2).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Callable
from typing import Any

from tasks.sandbox.seccomp import CHANNEL, program
from tasks.sandbox.syscalls import ARCHITECTURES
from tasks.sandbox.wire import Budget

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER = 2
#: What a kernel that answers with an error does not give.
REQUIRED = {
    PR_SET_PDEATHSIG: "to end a process with its parent",
    PR_SET_DUMPABLE: "to close a process to others",
    PR_SET_SECCOMP: "a seccomp filter",
    PR_SET_NO_NEW_PRIVS: "no_new_privs",
}

#: System calls without a wrapper in libc; since Linux 5.13 a new call has one number everywhere (asm-generic/unistd.h).
LANDLOCK_CREATE_RULESET, LANDLOCK_RESTRICT_SELF = 444, 446
LANDLOCK_CREATE_RULESET_VERSION = 1
#: Number of LANDLOCK_ACCESS_FS_* rights that each ABI knows; all of them are handled, none is granted.
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
FILE_RIGHTS_NEWEST = 16
NETWORK_RIGHTS = 0b11  # bind and connect, from ABI 4
SCOPES = 0b11  # abstract unix sockets and signals, from ABI 6

#: nobody and nogroup by long custom; the child owns nothing and may open nothing, so any id without rights will do.
UNPRIVILEGED_ID = 65534
STACK_BYTES = 8 * 1024 * 1024
MEBIBYTE = 1024 * 1024


class HardeningFailed(Exception):
    """A layer that must be in force could not be put in force; the child must end without running anything."""


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


class _Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class Hardening:
    """Everything prepared once in the zygote so that `apply` in a child is a handful of system calls."""

    def __init__(self, budget: Budget) -> None:
        """`budget` is what a run may use that has none of its own.

        Raises HardeningFailed where this machine has no seccomp filter that we know how to write."""
        # Looked up here: in a child, dlsym(3) would touch the symbol tables of every library.
        libc = ctypes.CDLL(None, use_errno=True)
        self._prctl_call, self._syscall = libc.prctl, libc.syscall
        self._parent = os.getpid()
        self._root = os.geteuid() == 0
        self._base = _address_space()
        self._limits = _rlimits(self._base, budget)
        self._filter, self._program = _filter()
        self.landlock_abi, self._ruleset = self._make_ruleset()

    def apply(self, channel: int, budget: Budget | None = None) -> dict[str, Any]:
        """Harden the calling process, which keeps only `channel`, as descriptor 0. Returns the layers now in force.

        Raises HardeningFailed where seccomp, the resource limits or no_new_privs cannot be had.
        """
        os.setsid()
        uid_dropped = self._drop_user()
        self._die_with_parent()
        self._prctl(PR_SET_NO_NEW_PRIVS, 1)
        landlock = self._restrict_files()
        os.dup2(channel, CHANNEL)
        os.closerange(CHANNEL + 1, 1 << 30)
        self._prctl(PR_SET_DUMPABLE, 0)
        self._set_limits(self._limits if budget is None else _rlimits(self._base, budget))
        self._prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(self._program))
        return {
            "seccomp": True,
            "rlimits": True,
            "no_new_privs": True,
            "landlock": landlock,
            "uid_drop": uid_dropped,
            "pdeathsig": True,
        }

    def _prctl(self, option: int, value: int, pointer: int = 0) -> None:
        arguments = [ctypes.c_ulong(part) for part in (value, pointer, 0, 0)]
        if self._prctl_call(option, *arguments) != 0:
            raise HardeningFailed(f"the kernel refuses {REQUIRED[option]} ({os.strerror(ctypes.get_errno())})")

    def _drop_user(self) -> bool | None:
        """True: dropped; False: root, but this container may not change ids; None: an ordinary user already."""
        if not self._root:
            return None
        try:
            os.setgroups([])
            os.setresgid(UNPRIVILEGED_ID, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
            os.setresuid(UNPRIVILEGED_ID, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
        except OSError:
            return False
        return True

    def _die_with_parent(self) -> None:
        # After the change of ids, which clears it (prctl(2)). The parent may be gone already: then nobody would tell.
        self._prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._parent:
            raise HardeningFailed("the zygote is gone")

    def _make_ruleset(self) -> tuple[int, int]:
        abi = self._syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION)
        if abi < 1:
            return 0, -1
        attributes = _Ruleset(
            fs=(1 << FILE_RIGHTS.get(abi, FILE_RIGHTS_NEWEST)) - 1,
            net=NETWORK_RIGHTS if abi >= 4 else 0,
            scoped=SCOPES if abi >= 6 else 0,
        )
        size = 8 if abi < 4 else 16 if abi < 6 else 24
        ruleset = self._syscall(LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), 0)
        return (abi, ruleset) if ruleset >= 0 else (0, -1)

    def _restrict_files(self) -> int | bool:
        if self._ruleset < 0 or self._syscall(LANDLOCK_RESTRICT_SELF, self._ruleset, 0) != 0:
            return False
        return self.landlock_abi

    def _set_limits(self, limits: list[tuple[int, int, int]]) -> None:
        try:
            for kind, soft, hard in limits:
                resource.setrlimit(kind, (soft, hard))
        except (OSError, ValueError) as error:
            raise HardeningFailed(f"the kernel refuses a resource limit ({error})") from None


def _filter() -> tuple[Any, _Program]:
    architecture = ARCHITECTURES.get(os.uname().machine)
    if architecture is None:
        raise HardeningFailed(f"there is no seccomp filter for {os.uname().machine}; use x86_64 or aarch64")
    code = program(architecture)
    buffer = ctypes.create_string_buffer(code, len(code))
    return buffer, _Program(length=len(code) // 8, filter=ctypes.addressof(buffer))


def _address_space() -> int:
    # Not pathlib: whatever the zygote imports, each child pays for.
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123
        return int(statm.read().split()[0]) * resource.getpagesize()


def _rlimits(base: int, budget: Budget) -> list[tuple[int, int, int]]:
    space = base + budget.memory_mb * MEBIBYTE
    none = [
        resource.RLIMIT_CORE,
        resource.RLIMIT_FSIZE,
        resource.RLIMIT_NOFILE,
        resource.RLIMIT_NPROC,
        resource.RLIMIT_MEMLOCK,
        resource.RLIMIT_MSGQUEUE,
    ]
    wanted = [(kind, 0, 0) for kind in none]
    wanted += [
        (resource.RLIMIT_STACK, STACK_BYTES, STACK_BYTES),
        (resource.RLIMIT_CPU, budget.cpu_seconds, budget.cpu_seconds + 1),
        (resource.RLIMIT_AS, space, space),
    ]
    return [(kind, *_within(kind, soft, hard)) for kind, soft, hard in wanted]


def _within(kind: int, soft: int, hard: int) -> tuple[int, int]:
    """Never above the hard limit in force, which an ordinary user cannot raise."""
    ceiling = resource.getrlimit(kind)[1]
    if ceiling == resource.RLIM_INFINITY:
        return soft, hard
    return min(soft, ceiling), min(hard, ceiling)


def guarded(action: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], str | None]:
    """The layers that `action` put in force, or none and the reason."""
    try:
        return action(), None
    except (HardeningFailed, OSError) as error:
        return {}, str(error)
