"""The seccomp filter of a run as a classic BPF program: everything not named here kills the process.

Layout of `struct seccomp_data` and the return values: linux/seccomp.h; opcodes: linux/filter.h, linux/bpf_common.h.
"""

from __future__ import annotations

import struct

from tasks.sandbox.syscalls import FREE, REFUSED, Architecture

#: The one descriptor of a run: its request comes from it, its output and result go to it.
CHANNEL = 0

LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
JUMP_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K

KILL_PROCESS = 0x80000000
ALLOW = 0x7FFF0000
REFUSE = 0x00050000 | 1  # SECCOMP_RET_ERRNO | EPERM

NUMBER_AT, ARCH_AT, ARGUMENTS_AT = 0, 4, 16
PROT_EXEC = 0x4
MAP_ANONYMOUS = 0x20
#: MADV_DONTNEED and MADV_FREE, which malloc(3) uses to give memory back.
GIVING_BACK = (4, 8)

Instruction = tuple[int, int, int, int]


def _low_word(argument: int) -> Instruction:
    # Both architectures are little-endian: the low half of a 64-bit argument comes first.
    return (LOAD_WORD, 0, 0, ARGUMENTS_AT + 8 * argument)


def _high_word(argument: int) -> Instruction:
    return (LOAD_WORD, 0, 0, ARGUMENTS_AT + 8 * argument + 4)


def _answer(action: int) -> Instruction:
    return (RETURN, 0, 0, action)


def _only_on_channel() -> list[Instruction]:
    return [
        _low_word(0),
        (JUMP_EQUAL, 0, 3, CHANNEL),
        _high_word(0),
        (JUMP_EQUAL, 0, 1, 0),
        _answer(ALLOW),
        _answer(KILL_PROCESS),
    ]


def _no_execution(*further: Instruction) -> list[Instruction]:
    return [_low_word(2), (JUMP_ANY_BIT, 0, 1, PROT_EXEC), _answer(KILL_PROCESS), *further, _answer(ALLOW)]


def _anonymous_only() -> tuple[Instruction, ...]:
    return (_low_word(3), (JUMP_ANY_BIT, 1, 0, MAP_ANONYMOUS), _answer(REFUSE))


def _giving_back() -> list[Instruction]:
    first, second = GIVING_BACK
    return [
        _low_word(2),
        (JUMP_EQUAL, 1, 0, first),
        (JUMP_EQUAL, 0, 1, second),
        _answer(ALLOW),
        _answer(REFUSE),
    ]


def program(architecture: Architecture) -> bytes:
    """The filter for one architecture as an array of `struct sock_filter`."""
    numbers = architecture.numbers
    code: list[Instruction] = [
        (LOAD_WORD, 0, 0, ARCH_AT),
        (JUMP_EQUAL, 1, 0, architecture.audit),
        _answer(KILL_PROCESS),
        (LOAD_WORD, 0, 0, NUMBER_AT),
    ]
    if architecture.foreign_from is not None:
        code += [(JUMP_AT_LEAST, 0, 1, architecture.foreign_from), _answer(KILL_PROCESS)]
    guarded = {
        "read": _only_on_channel(),
        "write": _only_on_channel(),
        "mmap": _no_execution(*_anonymous_only()),
        "mprotect": _no_execution(),
        "madvise": _giving_back(),
    }
    for name, body in guarded.items():
        code += [(JUMP_EQUAL, 0, len(body), numbers[name]), *body]
    for action, names in ((ALLOW, FREE), (REFUSE, REFUSED)):
        for name in names:
            if name in numbers:
                code += [(JUMP_EQUAL, 0, 1, numbers[name]), _answer(action)]
    code.append(_answer(KILL_PROCESS))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
