"""Every system call there is, one by one, from a child that no language layer holds: allowed, refused or deadly."""

from __future__ import annotations

import marshal
import platform
from collections.abc import Iterator

import pytest

from tasks.model import Done, Failed, Limits, Outcome
from tasks.report import Report
from tasks.sandbox import Sandbox
from tasks.sandbox.compiled import Compiled
from tasks.sandbox.syscalls import ARCHITECTURES, FREE, REFUSED

LIMITS = Limits(timeout=20, max_result_bytes=100_000)
HERE = ARCHITECTURES[platform.machine()]
#: Beyond the newest call of Linux 6.18 (asm-generic/unistd.h), so that tomorrow's are looked at too.
END = 520
#: Looked at by their arguments, which tests of their own do.
GUARDED = ("read", "write", "mmap", "mprotect", "madvise", "futex")
#: uretprobe and uprobe of x86_64: newer kernels let them past every filter (kernel/seccomp.c), because only code that
#: the kernel itself has put into the process may make them; anybody else's is a SIGILL or an error.
UNFILTERED = {335, 336} if platform.machine() == "x86_64" else set()
#: What no child may do, whatever else changes; the numbers of x86_64 (syscall_64.tbl), only to show that they are in.
NOTORIOUS = {
    "socket": 41,
    "connect": 42,
    "sendmsg": 46,
    "recvmsg": 47,
    "clone": 56,
    "fork": 57,
    "vfork": 58,
    "execve": 59,
    "kill": 62,
    "shmget": 29,
    "dup2": 33,
    "ptrace": 101,
    "personality": 135,
    "prctl": 157,
    "arch_prctl": 158,
    "setrlimit": 160,
    "chroot": 161,
    "mount": 165,
    "init_module": 175,
    "setns": 308,
    "unshare": 272,
    "keyctl": 250,
    "perf_event_open": 298,
    "prlimit64": 302,
    "process_vm_writev": 311,
    "seccomp": 317,
    "memfd_create": 319,
    "bpf": 321,
    "execveat": 322,
    "userfaultfd": 323,
    "pkey_mprotect": 329,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "clone3": 435,
    "pidfd_getfd": 438,
    "landlock_create_ruleset": 444,
    "memfd_secret": 447,
}
SOURCE = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def f(numbers, *arguments):
    found = []
    for number in numbers:
        ctypes.set_errno(0)
        answer = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(each) for each in arguments or [0] * 6])
        found.append((answer, ctypes.get_errno()))
    return found
"""
EPERM = 1


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox(memory_mb=64, cpu_seconds=2)
    code = marshal.dumps(compile(SOURCE, "<raw>", "exec"))
    sandbox.compiled.keep(SOURCE, Compiled(functions=frozenset({"f"}), code=code))
    yield sandbox
    sandbox.close()


def calls(sandbox: Sandbox, numbers: list[int], *arguments: int) -> Outcome:
    """The answers to these system calls, all with the same arguments, from one child."""
    return sandbox.run(
        source=SOURCE,
        function_name="f",
        args=[numbers, *arguments],
        kwargs={},
        limits=LIMITS,
        report=Report(1000),
    )


def is_deadly(outcome: Outcome) -> bool:
    return isinstance(outcome, Failed) and outcome.code == "sandbox_violation"


def test_whatever_is_not_on_the_list_kills(sandbox: Sandbox) -> None:
    named = {HERE.numbers[name] for name in (*FREE, *REFUSED, *GUARDED) if name in HERE.numbers}
    deadly = [number for number in range(END) if number not in named | UNFILTERED]
    survived = [number for number in deadly if not is_deadly(calls(sandbox, [number]))]
    assert survived == []
    if platform.machine() == "x86_64":
        assert set(NOTORIOUS.values()) <= set(deadly)


@pytest.mark.parametrize("number", sorted(UNFILTERED))
def test_the_calls_of_the_kernels_own_probes_do_nothing(sandbox: Sandbox, number: int) -> None:
    outcome = calls(sandbox, [number])
    if isinstance(outcome, Failed):
        assert outcome.code in ("sandbox_violation", "interpreter_crashed")
    else:
        assert outcome.value[0][0] == -1


@pytest.mark.parametrize("number", [0x40000000, 0x40000000 + 39, 0x40000000 + 520, 1 << 31, (1 << 32) - 1, 1 << 33])
def test_numbers_of_another_machine_kill(sandbox: Sandbox, number: int) -> None:
    outcome = calls(sandbox, [number])
    # The kernel takes the low half of the number: what is above it is no way round.
    low = number & 0xFFFFFFFF
    assert is_deadly(outcome) == (low != 0), outcome


def test_what_is_refused_is_refused_whatever_it_asks_for(sandbox: Sandbox) -> None:
    numbers = [HERE.numbers[name] for name in REFUSED if name in HERE.numbers]
    for argument in (0, 1, -1):
        assert calls(sandbox, numbers, *[argument] * 6) == Done(value=[[-1, EPERM]] * len(numbers))


@pytest.mark.parametrize("protection", [4, 5, 6, 7, 0x01000004, 1 << 40 | 4])
@pytest.mark.parametrize("name", ["mmap", "mprotect"])
def test_memory_that_can_be_executed_kills(sandbox: Sandbox, name: str, protection: int) -> None:
    assert is_deadly(calls(sandbox, [HERE.numbers[name]], 0, 4096, protection, 0x22, -1, 0))


@pytest.mark.parametrize("descriptor", [1, 2, 3, 100, -1, 1 << 32, 1 << 63 - 1])
@pytest.mark.parametrize("name", ["read", "write"])
def test_no_descriptor_but_the_channel_can_be_named(sandbox: Sandbox, name: str, descriptor: int) -> None:
    assert is_deadly(calls(sandbox, [HERE.numbers[name]], descriptor, 0, 0))


@pytest.mark.parametrize("flags", [0x02, 0x01, 0x10, 0x8002])
def test_a_mapping_that_is_not_anonymous_is_refused(sandbox: Sandbox, flags: int) -> None:
    assert calls(sandbox, [HERE.numbers["mmap"]], 0, 4096, 1, flags, 0, 0) == Done(value=[[-1, EPERM]])


@pytest.mark.parametrize("advice", [0, 3, 9, 10, 12, 14, 18, 20, 21, 100, 101])
def test_memory_takes_no_advice_but_to_give_it_back(sandbox: Sandbox, advice: int) -> None:
    assert calls(sandbox, [HERE.numbers["madvise"]], 0, 4096, advice) == Done(value=[[-1, EPERM]])


PRIVATE, CLOCK_REALTIME = 128, 256


@pytest.mark.parametrize("operation", [0, 1, 9, 10])
def test_a_lock_is_waited_for_within_the_process_only(sandbox: Sandbox, operation: int) -> None:
    # All runs share the pages of the program: by one of them a run could wake another, and so tell it something.
    number = HERE.numbers["futex"]
    assert calls(sandbox, [number], 0, operation, 0, 0, 0, 0) == Done(value=[[-1, EPERM]])
    for flags in (PRIVATE, PRIVATE | CLOCK_REALTIME, PRIVATE | 1 << 40):
        outcome = calls(sandbox, [number], 0, operation | flags, 0, 0, 0, 0)
        assert isinstance(outcome, Done)
        assert outcome.value[0][1] != EPERM


@pytest.mark.parametrize("operation", [2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 20, 64, 512])
def test_no_other_operation_on_locks_is_there(sandbox: Sandbox, operation: int) -> None:
    for flags in (0, PRIVATE, CLOCK_REALTIME, PRIVATE | CLOCK_REALTIME):
        assert calls(sandbox, [HERE.numbers["futex"]], 0, operation | flags, 0, 0, 0, 0) == Done(value=[[-1, EPERM]])
