"""The kernel layer: what a freshly forked child gives up for good before it meets a stranger's code.

Sources of the constants: prctl(2), seccomp(2), landlock(7) and linux/{prctl,seccomp,landlock}.h, setrlimit(2).
"""

from __future__ import annotations

import ctypes
import os
import resource

from tasks.sandbox.seccomp import CHANNEL, program
from tasks.sandbox.syscalls import ARCHITECTURES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tasks.sandbox.wire import Budget

SIGKILL = 9  # signal(7)
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
    """Everything prepared once in the zygote so that `apply` in a child is a handful of system calls.

    What a child may inherit, the zygote gives up itself.
    """

    def __init__(self, budget: Budget) -> None:
        """Gives up what no child may have. `budget` is what a run may use that has none of its own.

        Raises HardeningFailed where this machine has no seccomp filter that we know how to write, no resource limits or
        no no_new_privs."""
        # Looked up here: in a child, dlsym(3) would touch the symbol tables of every library.
        libc = ctypes.CDLL(None, use_errno=True)
        self._prctl_call, self._syscall = libc.prctl, libc.syscall
        self._parent = os.getpid()
        self._base = _address_space()
        self._limits = _own_limits(self._base, budget)
        self._filter, self._program = _filter()
        self._die_with_parent = _arguments(PR_SET_PDEATHSIG, SIGKILL)
        self._not_dumpable = _arguments(PR_SET_DUMPABLE, 0)
        self._filtered = _arguments(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(self._program))
        self._uid_dropped = _drop_user()
        _set_limits(_common_limits())
        self._prctl(_arguments(PR_SET_NO_NEW_PRIVS, 1))
        self.landlock_abi, ruleset = self._make_ruleset()
        self._restricted = (ctypes.c_long(LANDLOCK_RESTRICT_SELF), ctypes.c_long(ruleset), ctypes.c_long(0))

    def apply(self, channel: int, budget: Budget | None = None) -> dict[str, Any]:
        """Harden the calling process, which keeps only `channel`, as descriptor 0. Returns the layers now in force.

        Raises HardeningFailed where seccomp or the resource limits cannot be had.
        """
        # A process group and not a session: of these Linux makes a scheduling group each, which would have as large a
        # share of the processor as all of the API has.
        os.setpgid(0, 0)
        self._prctl(self._die_with_parent)
        if os.getppid() != self._parent:  # it may be gone already: then nobody would tell
            raise HardeningFailed("the zygote is gone")
        landlock = self.landlock_abi if self.landlock_abi and self._syscall(*self._restricted) == 0 else False
        os.dup2(channel, CHANNEL)
        os.closerange(CHANNEL + 1, 1 << 30)
        self._prctl(self._not_dumpable)
        _set_limits(self._limits if budget is None else _own_limits(self._base, budget))
        self._prctl(self._filtered)
        return {
            "seccomp": True,
            "rlimits": True,
            "no_new_privs": True,
            "landlock": landlock,
            "uid_drop": self._uid_dropped,
            "pdeathsig": True,
        }

    def _prctl(self, arguments: tuple[Any, ...]) -> None:
        if self._prctl_call(*arguments) != 0:
            error = os.strerror(ctypes.get_errno())
            raise HardeningFailed(f"the kernel refuses {REQUIRED[arguments[0].value]} ({error})")

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


def _arguments(option: int, value: int, pointer: int = 0) -> tuple[Any, ...]:
    """Of prctl(2), made beforehand: a child that makes numbers writes to pages."""
    return ctypes.c_int(option), *(ctypes.c_ulong(part) for part in (value, pointer, 0, 0))


def _drop_user() -> bool | None:
    """True: dropped; False: root, but this container may not change ids; None: an ordinary user already."""
    if os.geteuid() != 0:
        return None
    try:
        os.setgroups([])
        os.setresgid(UNPRIVILEGED_ID, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
        os.setresuid(UNPRIVILEGED_ID, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
    except OSError:
        return False
    return True


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


def _common_limits() -> list[tuple[int, tuple[int, int]]]:
    """Those that the zygote can live with itself."""
    none = (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE)
    return [
        *((kind, _within(kind, 0, 0)) for kind in none),
        (resource.RLIMIT_STACK, _within(resource.RLIMIT_STACK, STACK_BYTES, STACK_BYTES)),
    ]


def _own_limits(base: int, budget: Budget) -> list[tuple[int, tuple[int, int]]]:
    """Those that each child sets for itself."""
    space = base + budget.memory_mb * MEBIBYTE
    wanted = [
        (resource.RLIMIT_NOFILE, 0, 0),
        (resource.RLIMIT_NPROC, 0, 0),
        (resource.RLIMIT_CPU, budget.cpu_seconds, budget.cpu_seconds + 1),
        (resource.RLIMIT_AS, space, space),
    ]
    return [(kind, _within(kind, soft, hard)) for kind, soft, hard in wanted]


def _set_limits(limits: list[tuple[int, tuple[int, int]]]) -> None:
    try:
        for kind, bounds in limits:
            resource.setrlimit(kind, bounds)
    except (OSError, ValueError) as error:
        raise HardeningFailed(f"the kernel refuses a resource limit ({error})") from None


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
