"""What passes between the three processes: frames on a child's channel, packets on the zygote's control socket."""

from __future__ import annotations

import collections
import struct

#: Kind and length of a frame that a child sends; the payload follows.
FRAME = struct.Struct("<cI")
#: Length of the one request that a child reads.
REQUEST = struct.Struct("<I")
#: CPU seconds and peak resident bytes at the head of RESULT and FAILURE; JSON follows.
USAGE = struct.Struct("<dQ")
#: A child: its serial number. With CHILD travel its channel and its pidfd, with STATUS the socket to answer on.
SERIAL = struct.Struct("<cQ")
#: A child that is done with, and whether another is wanted in its stead.
DONE_WITH = struct.Struct("<cQ?")
#: A child with limits of its own: MiB and CPU seconds; the socket to answer on travels with it.
LIMITED = struct.Struct("<cII")
#: How a child ended: wait status, CPU seconds, peak resident bytes.
ENDED = struct.Struct("<idQ")

REFUSED = b"N"  # this child could not be hardened; the payload says why
PROBLEMS = b"P"  # the source breaks the policy; JSON list of problems
FUNCTIONS = b"F"  # names of the functions at top level; JSON list
CODE = b"C"  # the compiled code, marshalled
STDOUT = b"o"
STDERR = b"e"
RESULT = b"R"
FAILURE = b"X"

#: Host to zygote.
FORK = b"f"
FORK_LIMITED = b"l"
STATUS = b"s"
END = b"e"
#: Zygote to host.
HELLO = b"h"
CHILD = b"c"
NO_CHILD = b"n"  # the kernel refused to fork: no descriptors come with it

#: What the children of a zygote do.
COMPILE = "compile"
RUN = "run"
#: Children of each kind kept ready; more would only wait, for callers bound how many run at once.
READY = {COMPILE: 2, RUN: 6}
#: How many are missing when the stock is filled up. After a fork the zygote copies each page that it writes to, so that
#: forks in a row cost less than each by itself.
IN_A_ROW = {COMPILE: 1, RUN: 4}

#: Largest frame the host accepts of each kind besides output and result, in bytes.
MAX_CODE_BYTES = 4 * 1024 * 1024
MAX_REPORT_BYTES = 256 * 1024
#: Largest piece of output in one frame, in bytes.
MAX_OUTPUT_FRAME = 64 * 1024
#: Largest packet on the control socket, in bytes: to the host, which is the hello, and to the zygote.
MAX_HELLO = 16 * 1024
MAX_ORDER = 64


class Budget(collections.namedtuple("Budget", ("memory_mb", "cpu_seconds"))):
    """What a run may use, the same for each or less for one: MiB of address space on top of what the interpreter has,
    and seconds of processor time.
    """

    __slots__ = ()
    memory_mb: int
    cpu_seconds: int
