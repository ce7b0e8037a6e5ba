"""The kernel layer alone: raw Python, which no language layer has looked at, in a hardened child."""

from __future__ import annotations

import marshal
import platform
from collections.abc import Callable, Iterator

import pytest

from tasks.model import Done, Failed, Limits, Outcome
from tasks.report import Report
from tasks.sandbox import Sandbox
from tasks.sandbox.compiled import Compiled

LIMITS = Limits(timeout=20, max_result_bytes=100_000)
#: The one number below that differs between the two architectures; the others are newer than the common numbering.
BPF = 321 if platform.machine() == "x86_64" else 280
RunRaw = Callable[[str], Outcome]

PREAMBLE = """
import _signal, _socket, _thread, builtins, ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    answer = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if answer < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return answer
def f():
    try:
        done = attempt()
    except PermissionError:
        return "refused"
    return f"DID IT: {done!r}"
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox(memory_mb=128, cpu_seconds=5)
    yield sandbox
    sandbox.close()


@pytest.fixture(scope="module")
def run_raw(sandbox: Sandbox) -> RunRaw:
    """Runs source as plain Python: its code is put where compiled code is kept, past the policy."""

    def run(body: str) -> Outcome:
        lines = "\n    ".join(body.strip().splitlines())
        source = f"{PREAMBLE}\ndef attempt():\n    {lines}\n"
        # The mark keeps the key apart from the same text checked by the policy.
        code = marshal.dumps(compile(source, "<raw>", "exec"))
        sandbox.compiled.keep(source, Compiled(functions=frozenset({"f"}), code=code))
        return sandbox.run(source=source, function_name="f", args=[], kwargs={}, limits=LIMITS, report=Report(100_000))

    return run


def test_raw_python_does_run_in_the_child(run_raw: RunRaw) -> None:
    outcome = run_raw("return (os.__name__, _socket.__name__)")
    assert outcome == Done(value="DID IT: ('os', '_socket')")


@pytest.mark.parametrize(
    "attempt",
    [
        "return builtins.open('/etc/passwd').read()",
        "return builtins.open('/proc/self/environ').read()",
        "return builtins.open('relative', 'w')",
        "return os.open('/dev/null', os.O_WRONLY)",
        "return os.listdir('/')",
        "return os.scandir('.')",
        "return os.stat('/')",
        "return os.fstat(0)",
        "if not os.access('/', 0): raise PermissionError",
        "return os.dup(0)",
        "return os.readlink('/proc/self/exe')",
        "return os.getcwd()",
        "return os.mkdir('/tmp/x')",
        "return os.unlink('/tmp/x')",
        "return os.rename('/tmp/x', '/tmp/y')",
        "return os.statvfs('/')",
        "return os.uname()",
        "return os.get_terminal_size(0)",
        "return call(437, -100, b'/etc/passwd', 0, 0)",
    ],
)
def test_a_file_call_is_refused_politely(run_raw: RunRaw, attempt: str) -> None:
    assert run_raw(attempt) == Done(value="refused")


@pytest.mark.parametrize(
    "attempt",
    [
        "return _socket.socket()",
        "return _socket.socketpair()",
        "return os.pipe()",
        "return os.fork()",
        "return os.posix_spawn('/bin/true', ['true'], {})",
        "return _thread.start_new_thread(print, ())",
        "return os.execv('/bin/true', ['true'])",
        "return libc.ptrace(16, 1, 0, 0)",
        "return os.kill(1, 0)",
        "return os.kill(os.getpid(), 9)",
        "return os.pidfd_open(1)",
        "return libc.unshare(0x10000000)",
        "return libc.mount(b'x', b'/', b'tmpfs', 0, 0)",
        "return os.chroot('/')",
        "return os.setuid(0)",
        "return os.setsid()",
        "return os.memfd_create('x')",
        "return os.eventfd(0)",
        "return os.write(1, b'x')",
        "return os.write(3, b'x')",
        "return os.read(3, 1)",
        "return libc.prctl(22, 0, 0, 0, 0)",
        "return libc.personality(0x0400000)",
        "return libc.setrlimit(9, (ctypes.c_ulong * 2)(1 << 40, 1 << 40))  # RLIMIT_AS",
        "return libc.prlimit(0, 6, None, (ctypes.c_ulong * 2)())  # RLIMIT_NPROC",
        "return os.sched_setaffinity(0, [0])",
        "return os.nice(-1)",
        "return call(425, 8, 0)  # io_uring_setup",
        f"return call({BPF}, 0, 0, 0)",
        "return call(435, 0, 0)  # clone3",
        "return call(442, 0, 0, 0, 0)  # mount_setattr",
        "return call(447, 0)  # memfd_secret",
        "return call(9999)  # no such call",
        "return libc.mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, 0)",
        "return libc.mprotect(ctypes.c_void_p(id(libc) & ~4095), ctypes.c_size_t(4096), 7)",
    ],
)
def test_reaching_out_of_the_process_kills_it(run_raw: RunRaw, attempt: str) -> None:
    outcome = run_raw(attempt)
    assert isinstance(outcome, Failed)
    assert outcome.code == "sandbox_violation"


def test_a_file_cannot_be_mapped_and_secrets_of_the_kernel_stay_there(run_raw: RunRaw) -> None:
    attempt = """
address = libc.mmap
address.restype = ctypes.c_void_p
got = address(None, ctypes.c_size_t(4096), 1, 2, 0, 0)
return "mapped" if got != ctypes.c_void_p(-1).value else "not mapped"
"""
    assert run_raw(attempt) == Done(value="DID IT: 'not mapped'")


def test_the_child_has_one_descriptor_and_nothing_of_the_environment(run_raw: RunRaw) -> None:
    assert run_raw("return sorted(os.environ)") == Done(value="DID IT: ['LC_ALL', 'PATH', 'TZ']")


def test_a_new_descriptor_cannot_come_through_the_channel(run_raw: RunRaw) -> None:
    outcome = run_raw("return _socket.socket(fileno=0).recvmsg(1, 100)")
    assert isinstance(outcome, Failed)


def test_abort_is_a_crash_and_not_an_escape(run_raw: RunRaw) -> None:
    outcome = run_raw("os.abort()")
    assert isinstance(outcome, Failed)
    assert outcome.code == "interpreter_crashed"


def test_a_null_pointer_is_a_crash(run_raw: RunRaw) -> None:
    outcome = run_raw("return ctypes.string_at(0)")
    assert isinstance(outcome, Failed)
    assert outcome.code == "interpreter_crashed"


def test_ignoring_the_signal_of_the_cpu_limit_does_not_help() -> None:
    sandbox = Sandbox(memory_mb=64, cpu_seconds=1)
    source = "import _signal\ndef f():\n    _signal.signal(_signal.SIGXCPU, _signal.SIG_IGN)\n    while True: pass\n"
    code = marshal.dumps(compile(source, "<raw>", "exec"))
    sandbox.compiled.keep(source, Compiled(functions=frozenset({"f"}), code=code))
    try:
        outcome = sandbox.run(source=source, function_name="f", args=[], kwargs={}, limits=LIMITS, report=Report(10))
    finally:
        sandbox.close()
    assert isinstance(outcome, Failed)
    assert outcome.code == "cpu_limit"
