"""The kernel layer: what a freshly forked child gives up for good before it meets a stranger's code.

Sources of the constants: prctl(2), seccomp(2), landlock(7) and linux/{prctl,seccomp,landlock}.h, setrlimit(2).
"""

from __future__ import annotations

import ctypes
import os

from tasks.sandbox.seccomp import CHANNEL, program
from tasks.sandbox.syscalls import ARCHITECTURES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from tasks.sandbox.wire import Budget

    #: A call of libc's, its arguments, made beforehand because making them writes to pages, and what it is for.
    Step = tuple[Callable[..., int], tuple[Any, ...], str]

SIGKILL = 9  # signal(7)
PR_SET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 3, 4, 22, 38
#: Calls made for practice, so that the interpreter has specialised the loop that makes them (PEP 659).
ROUNDS = 40
SECCOMP_MODE_FILTER = 2
#: What a kernel that answers with an error does not give.
REQUIRED = {
    PR_SET_PDEATHSIG: "to end a process with its parent",
    PR_GET_DUMPABLE: "to say whether a process is closed to others",
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
#: Resource limits of <asm-generic/resource.h>, which is that of both architectures.
RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_STACK, RLIMIT_CORE, RLIMIT_NPROC, RLIMIT_NOFILE = 0, 1, 3, 4, 6, 7
RLIMIT_MEMLOCK, RLIMIT_AS, RLIMIT_MSGQUEUE = 8, 9, 12
#: Those that the zygote can do without itself.
NOTHING_OF = (RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE)
STACK_BYTES = 8 * 1024 * 1024
MEBIBYTE = 1024 * 1024


class HardeningFailed(Exception):
    """A layer that must be in force could not be put in force; the child must end without running anything."""


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


class _Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _Limit(ctypes.Structure):
    _fields_ = [("soft", ctypes.c_ulong), ("hard", ctypes.c_ulong)]


def _take(steps: Iterable[Step]) -> None:
    """Make system calls that must be answered with success."""
    for call, arguments, what in steps:
        if call(*arguments) < 0:
            raise HardeningFailed(f"the kernel refuses {what} ({os.strerror(ctypes.get_errno())})")


class Hardening:
    """Everything prepared once in the zygote so that `apply` in a child is a handful of system calls.

    What a child may inherit, the zygote gives up itself.
    """

    def __init__(self, budget: Budget) -> None:
        """Gives up what no child may have. `budget` is what a run may use that has none of its own.

        Raises HardeningFailed where this machine has no seccomp filter that we know how to write, no resource limits or
        no no_new_privs."""
        # Looked up here: in a child, dlsym(3) would touch the symbol tables of every library.
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._parent = os.getpid()
        self._base = _address_space()
        self._filter, self._program = _filter()
        self._uid_dropped = _drop_user()
        _take(self._limit(kind, 0, 0) for kind in NOTHING_OF)
        _take([self._limit(RLIMIT_STACK, STACK_BYTES, STACK_BYTES), self._prctl(PR_SET_NO_NEW_PRIVS, 1)])
        _take([self._prctl(PR_GET_DUMPABLE, 0)] * ROUNDS)
        self.landlock_abi, self._ruleset = self._make_ruleset()
        self._landlock = (ctypes.c_long(LANDLOCK_RESTRICT_SELF), ctypes.c_long(self._ruleset), ctypes.c_long(0))
        self._restrict = self._libc.syscall
        # A process group and not a session: of these Linux makes a scheduling group each, which would have as large a
        # share of the processor as all of the API has.
        group = (self._libc.setpgid, (ctypes.c_int(0), ctypes.c_int(0)), "a process group")
        self._first = (group, self._prctl(PR_SET_PDEATHSIG, SIGKILL), self._prctl(PR_SET_DUMPABLE, 0))
        self._bounds = self._bounds_of(budget)
        self._last = (
            self._limit(RLIMIT_NOFILE, 0, 0),
            self._limit(RLIMIT_NPROC, 0, 0),
            self._prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(self._program)),
        )

    def apply(self, channel: int, budget: Budget | None = None) -> int | bool:
        """Harden the calling process, which keeps only `channel`, as descriptor 0.

        Returns the ABI of Landlock that is in force, or False. Raises HardeningFailed where another layer fails.
        """
        _take(self._first)
        if os.getppid() != self._parent:  # it may be gone already: then nobody would tell
            raise HardeningFailed("the zygote is gone")
        landlock = self.landlock_abi > 0 and self._restrict(*self._landlock) == 0 and self.landlock_abi
        os.dup2(channel, CHANNEL)
        os.closerange(CHANNEL + 1, 1 << 30)
        _take(self._bounds if budget is None else self._bounds_of(budget))
        _take(self._last)
        return landlock

    def try_out(self, channel: int) -> dict[str, Any]:
        """Apply it and say as JSON data whether code can run here, why not, and which layers are in force."""
        try:
            landlock = self.apply(channel)
        except (HardeningFailed, OSError) as error:
            return {"available": False, "reason": str(error), "layers": {}}
        layers = {
            "seccomp": True,
            "rlimits": True,
            "no_new_privs": True,
            "landlock": landlock,
            "uid_drop": self._uid_dropped,
            "pdeathsig": True,
        }
        return {"available": True, "reason": None, "layers": layers}

    def _prctl(self, option: int, value: int, pointer: int = 0) -> Step:
        arguments = (ctypes.c_int(option), *(ctypes.c_ulong(part) for part in (value, pointer, 0, 0)))
        return self._libc.prctl, arguments, REQUIRED[option]

    def _limit(self, kind: int, soft: int, hard: int) -> Step:
        """Never above the hard limit in force, which an ordinary user cannot raise."""
        limit = _Limit()
        if self._libc.getrlimit(kind, ctypes.byref(limit)) != 0:
            raise HardeningFailed(f"the kernel refuses to tell a resource limit ({os.strerror(ctypes.get_errno())})")
        limit.soft, limit.hard = min(soft, limit.hard), min(hard, limit.hard)
        return self._libc.setrlimit, (ctypes.c_int(kind), ctypes.byref(limit)), "a resource limit"

    def _bounds_of(self, budget: Budget) -> tuple[Step, ...]:
        space = self._base + budget.memory_mb * MEBIBYTE
        return (
            self._limit(RLIMIT_CPU, budget.cpu_seconds, budget.cpu_seconds + 1),
            self._limit(RLIMIT_AS, space, space),
        )

    def _make_ruleset(self) -> tuple[int, int]:
        abi = self._libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION)
        if abi < 1:
            return 0, -1
        attributes = _Ruleset(
            fs=(1 << FILE_RIGHTS.get(abi, FILE_RIGHTS_NEWEST)) - 1,
            net=NETWORK_RIGHTS if abi >= 4 else 0,
            scoped=SCOPES if abi >= 6 else 0,
        )
        size = 8 if abi < 4 else 16 if abi < 6 else 24
        ruleset = self._libc.syscall(LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), 0)
        return (abi, ruleset) if ruleset >= 0 else (0, -1)


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
        return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
