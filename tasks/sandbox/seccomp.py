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
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K

KILL_PROCESS = 0x80000000
ALLOW = 0x7FFF0000
REFUSE = 0x00050000 | 1  # SECCOMP_RET_ERRNO | EPERM

NUMBER_AT, ARCH_AT, ARGUMENTS_AT = 0, 4, 16
PROT_EXEC = 0x4
MAP_ANONYMOUS = 0x20
#: futex(2): within one process, and its operations that wait and wake.
FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME = 128, 256
WAITING_AND_WAKING = (0, 1, 9, 10)  # FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET
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


def _waiting_within_the_process() -> list[Instruction]:
    # What is not private is keyed by the page of a file, and all runs share the pages of the program: one would wake
    # another. The operations left out, those for priorities above all, have been a way into the kernel more than once.
    operations = [FUTEX_PRIVATE_FLAG | each for each in WAITING_AND_WAKING]
    return [
        _low_word(1),
        (AND, 0, 0, 0xFFFFFFFF & ~FUTEX_CLOCK_REALTIME),
        *((JUMP_EQUAL, len(operations) - at, 0, each) for at, each in enumerate(operations)),
        _answer(REFUSE),
        _answer(ALLOW),
    ]


#: System calls that are decided by their arguments.
BODIES: dict[str, list[Instruction]] = {
    "read": _only_on_channel(),
    "write": _only_on_channel(),
    "mmap": _no_execution(*_anonymous_only()),
    "mprotect": _no_execution(),
    "madvise": _giving_back(),
    "futex": _waiting_within_the_process(),
}


class _Labelled:
    """Instructions of which some lead to labels; always forward, as BPF wants it."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int | str, int | str, int]] = []
        self._places: dict[str, int] = {}

    def label(self, name: str) -> None:
        """What comes next can be led to by `name`."""
        self._places[name] = len(self._code)

    def add(self, code: int, yes: int | str, no: int | str, value: int) -> None:
        """An instruction; `yes` and `no` are labels, or numbers of instructions to leave out."""
        self._code.append((code, yes, no, value))

    def packed(self) -> bytes:
        """The array of `struct sock_filter`. Raises struct.error for a label that is more than 255 away."""
        return b"".join(
            struct.pack("=HBBI", code, self._distance(at, yes), self._distance(at, no), value)
            for at, (code, yes, no, value) in enumerate(self._code)
        )

    def _distance(self, at: int, target: int | str) -> int:
        return target if isinstance(target, int) else self._places[target] - at - 1


def _spans(architecture: Architecture) -> list[tuple[int, str]]:
    """First number of each span of system calls that are decided alike, and the label of what decides."""
    numbers = architecture.numbers
    decided = {numbers[name]: name for name in BODIES}
    for label, names in (("allow", FREE), ("refuse", REFUSED)):
        decided |= {numbers[name]: label for name in names if name in numbers}
    spans: list[tuple[int, str]] = []
    for number in range(max(decided) + 2):
        label = decided.get(number, "kill")
        if not spans or spans[-1][1] != label:
            spans.append((number, label))
    return spans


def _halve(spans: list[tuple[int, str]], tests: list[tuple[str, int, str, str]]) -> str:
    """Adds the tests that find the right one of `spans`, and returns the label of the first."""
    if len(spans) == 1:
        return spans[0][1]
    (first, _), (middle, _), half = spans[0], spans[len(spans) // 2], len(spans) // 2
    name, place = f"{first} or more, {len(spans)} spans", len(tests)
    below = _halve(spans[:half], tests)
    above = _halve(spans[half:], tests)
    tests.insert(place, (name, middle, above, below))
    return name


def program(architecture: Architecture) -> bytes:
    """The filter for one architecture as an array of `struct sock_filter`.

    The number is searched by halves: the kernel tries each system call there is when a filter is put in force
    (kernel/seccomp.c, seccomp_cache_prepare), and every child would pay for a long row of comparisons.
    """
    code = _Labelled()
    code.add(LOAD_WORD, 0, 0, ARCH_AT)
    code.add(JUMP_EQUAL, 0, "kill", architecture.audit)
    code.add(LOAD_WORD, 0, 0, NUMBER_AT)
    if architecture.foreign_from is not None:
        code.add(JUMP_AT_LEAST, "kill", 0, architecture.foreign_from)
    tests: list[tuple[str, int, str, str]] = []
    _halve(_spans(architecture), tests)
    for name, number, above, below in tests:
        code.label(name)
        code.add(JUMP_AT_LEAST, above, below, number)
    for name, body in BODIES.items():
        code.label(name)
        for instruction in body:
            code.add(*instruction)
    for name, action in (("allow", ALLOW), ("refuse", REFUSE), ("kill", KILL_PROCESS)):
        code.label(name)
        code.add(*_answer(action))
    return code.packed()
