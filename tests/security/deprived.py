"""Starts a command on a machine that lacks a part of the kernel: `python deprived.py seccomp,landlock -- command ...`.

A filter, inherited by everything below, answers the calls that ask for that part as a kernel without it would.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from typing import NamedTuple

X86_64 = platform.machine() == "x86_64"
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ANSWER = 0x7FFF0000, 0x00050000


class Refusal(NamedTuple):
    """One system call and what is answered; numbers as in tasks/sandbox/syscalls.py."""

    number: int
    error: int
    #: Which argument is looked at, its low word, and whether it must be equal (True) or differ (False).
    argument: tuple[int, int, bool] | None = None


PRCTL, SECCOMP, PRLIMIT, SETRLIMIT = (157, 317, 302, 160) if X86_64 else (167, 277, 261, 164)
LACKS = {
    # prctl(2), seccomp(2): without CONFIG_SECCOMP_FILTER.
    "seccomp": [Refusal(PRCTL, errno.EINVAL, (0, PR_SET_SECCOMP, True)), Refusal(SECCOMP, errno.ENOSYS)],
    # landlock_create_ruleset(2): "Landlock is not supported by the current kernel".
    "landlock": [Refusal(444, errno.ENOSYS)],
    # A container manager's filter; prlimit(2) may still read limits, its third argument being NULL.
    "rlimits": [Refusal(SETRLIMIT, errno.EPERM), Refusal(PRLIMIT, errno.EPERM, (2, 0, False))],
    "no_new_privs": [Refusal(PRCTL, errno.EINVAL, (0, PR_SET_NO_NEW_PRIVS, True))],
    # A user who may have no more processes.
    "fork": [Refusal(56 if X86_64 else 220, errno.EAGAIN), Refusal(435, errno.ENOSYS)],
}


def _filter(refusals: list[Refusal]) -> bytes:
    code: list[tuple[int, int, int, int]] = []
    for refusal in refusals:
        answer = (RETURN, 0, 0, ANSWER | refusal.error)
        if refusal.argument is None:
            body = [answer]
        else:
            index, value, equal = refusal.argument
            body = [(LOAD, 0, 0, 16 + 8 * index), (JUMP_EQUAL, 0 if equal else 1, 1 if equal else 0, value), answer]
        code += [(LOAD, 0, 0, 0), (JUMP_EQUAL, 0, len(body), refusal.number), *body]
    return b"".join(struct.pack("=HBBI", *each) for each in [*code, (RETURN, 0, 0, ALLOW)])


def deprive(*parts: str) -> None:
    """Take the `parts` of the kernel away from this process and all it starts, for good."""
    code = _filter([refusal for part in parts for refusal in LACKS[part]])
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for option, *rest in ((PR_SET_NO_NEW_PRIVS, 1, None), (PR_SET_SECCOMP, 2, program)):
        if libc.prctl(option, ctypes.c_ulong(rest[0]), rest[1], ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:  # type: ignore[call-overload]
            raise OSError(ctypes.get_errno(), f"prctl({option})")


if __name__ == "__main__":
    deprive(*sys.argv[1].split(","))
    command = sys.argv[sys.argv.index("--") + 1 :]
    os.execvp(command[0], command)
