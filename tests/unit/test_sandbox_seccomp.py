"""The filter as a program, for both architectures, run by a small interpreter of classic BPF."""

from __future__ import annotations

import struct

import pytest

from tasks.sandbox import seccomp
from tasks.sandbox.syscalls import AARCH64, FREE, REFUSED, X86_64, Architecture

BOTH = pytest.mark.parametrize("machine", [X86_64, AARCH64], ids=lambda machine: machine.machine)
GUARDED = {"read", "write", "mmap", "mprotect", "madvise", "futex"}


def decide(program: bytes, audit: int, number: int, *arguments: int) -> int:
    """What the kernel would answer."""
    return walk(program, audit, number, *arguments)[0]


def walk(program: bytes, audit: int, number: int, *arguments: int) -> tuple[int, int]:
    """What the kernel would answer, and after how many instructions."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=IIQ6Q", number, audit, 0, *padded)
    at = accumulator = steps = 0
    while True:
        steps += 1
        code, yes, no, value = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        if code == seccomp.LOAD_WORD:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == seccomp.AND:
            accumulator &= value
        elif code == seccomp.RETURN:
            return int(value), steps
        elif code == seccomp.JUMP_EQUAL:
            at += yes if accumulator == value else no
        elif code == seccomp.JUMP_AT_LEAST:
            at += yes if accumulator >= value else no
        elif code == seccomp.JUMP_ANY_BIT:
            at += yes if accumulator & value else no
        else:
            raise AssertionError(f"unknown opcode {code:#x}")


@BOTH
def test_every_number_that_is_not_listed_kills(machine: Architecture) -> None:
    program = seccomp.program(machine)
    listed = set(machine.numbers.values())
    for number in range(1024):
        if number not in listed:
            assert decide(program, machine.audit, number) == seccomp.KILL_PROCESS, number


@BOTH
def test_every_listed_call_is_answered_as_its_list_says(machine: Architecture) -> None:
    program = seccomp.program(machine)
    for name, number in machine.numbers.items():
        if name in GUARDED:
            continue
        expected = seccomp.ALLOW if name in FREE else seccomp.REFUSE
        assert (name in FREE) != (name in REFUSED)
        assert decide(program, machine.audit, number) == expected, name


@BOTH
@pytest.mark.parametrize("name", ["read", "write"])
@pytest.mark.parametrize("descriptor", [1, 2, 3, 0xFFFFFFFF, 1 << 32])
def test_only_the_channel_is_read_and_written(machine: Architecture, name: str, descriptor: int) -> None:
    program = seccomp.program(machine)
    assert decide(program, machine.audit, machine.numbers[name], seccomp.CHANNEL) == seccomp.ALLOW
    assert decide(program, machine.audit, machine.numbers[name], descriptor) == seccomp.KILL_PROCESS


@BOTH
def test_memory_is_never_executable(machine: Architecture) -> None:
    program = seccomp.program(machine)
    for name, flags in (("mmap", 0x22), ("mprotect", 0)):
        for protection in range(8):
            decision = decide(program, machine.audit, machine.numbers[name], 0, 4096, protection, flags)
            assert decision == (seccomp.KILL_PROCESS if protection & 4 else seccomp.ALLOW)


@BOTH
def test_no_file_is_mapped_and_madvise_only_gives_back(machine: Architecture) -> None:
    program = seccomp.program(machine)
    assert decide(program, machine.audit, machine.numbers["mmap"], 0, 4096, 3, 0x02) == seccomp.REFUSE
    allowed = [
        advice
        for advice in range(128)
        if decide(program, machine.audit, machine.numbers["madvise"], 0, 0, advice) == seccomp.ALLOW
    ]
    assert allowed == [4, 8]


@BOTH
def test_locks_are_waited_for_and_woken_within_the_process_only(machine: Architecture) -> None:
    program = seccomp.program(machine)
    allowed = [
        operation
        for operation in range(1024)
        if decide(program, machine.audit, machine.numbers["futex"], 0, operation) == seccomp.ALLOW
    ]
    assert allowed == [128, 129, 137, 138, 384, 385, 393, 394]


@BOTH
def test_a_foreign_architecture_is_killed(machine: Architecture) -> None:
    program = seccomp.program(machine)
    getpid = machine.numbers["getpid"]
    for audit in (0x40000003, 0x40000028, X86_64.audit ^ 1, AARCH64.audit ^ 1):
        assert decide(program, audit, getpid) == seccomp.KILL_PROCESS


def test_the_x32_numbers_are_killed() -> None:
    program = seccomp.program(X86_64)
    for name, number in X86_64.numbers.items():
        assert decide(program, X86_64.audit, number | 0x40000000) == seccomp.KILL_PROCESS, name


@BOTH
def test_no_call_is_decided_by_a_long_row_of_comparisons(machine: Architecture) -> None:
    # The kernel decides every number once for each child, when the filter is put in force.
    program = seccomp.program(machine)
    assert max(walk(program, machine.audit, number)[1] for number in range(1024)) < 20
