"""The host's side of one child: sends the request, reads frames until the end or the deadline, trusts none of them."""

from __future__ import annotations

import codecs
import json
import select
import socket
import time
from typing import Any, NamedTuple

from tasks.report import Report, Stream
from tasks.sandbox import wire
from tasks.sandbox.host import ReadyChild
from tasks.sandbox.values import MAX_DEPTH, MAX_VALUES

CHUNK = 256 * 1024
#: Seconds of processor time that a child may say it has used beyond its limit, at which the kernel sends a signal; a
#: second later it kills.
CPU_GRACE = 2.0
#: Bytes that a child may say it has used: as many as a process can address (48 bits).
MAX_PEAK = 1 << 48
UTF8 = codecs.getincrementaldecoder("utf-8")
STREAMS: dict[bytes, Stream] = {wire.STDOUT: "stdout", wire.STDERR: "stderr"}


class Violation(Exception):
    """The child said something that no child of ours says: it is not ours any more."""


class Heard(NamedTuple):
    """The last word of a child."""

    #: A frame kind of `wire`, or None if it died, was killed or ran out of time without one.
    kind: bytes | None
    payload: bytes
    #: JSON list of the functions of what it compiled.
    functions: bytes = b""


class Session:
    """One request to one child."""

    def __init__(self, child: ReadyChild, deadline: float, report: Report | None, max_result_bytes: int = 0) -> None:
        """`deadline` is a moment of time.monotonic()."""
        #: Whose session it is.
        self.child = child
        self._channel = child.channel
        self._deadline = deadline
        self._report = report
        self._max_result = max_result_bytes + wire.USAGE.size
        self._decoders: dict[bytes, codecs.IncrementalDecoder] = {}
        # One byte past the cap is how a stream says that there was more.
        self._room = {} if report is None else dict.fromkeys(STREAMS, report.max_output_bytes + 1)
        self._buffer = bytearray()
        self._functions = b""
        self._unsent = memoryview(b"")
        #: True once the deadline has passed.
        self.late = False

    def ask(self, request: bytes, until: frozenset[bytes]) -> Heard:
        """Send `request`; the first frame of a kind in `until` is the answer. Raises Violation."""
        self._unsent = memoryview(wire.REQUEST.pack(len(request)) + request)
        return self.hear(until)

    def hear(self, until: frozenset[bytes], deadline: float | None = None) -> Heard:
        """Go on with `ask` after its deadline, until a later one."""
        if deadline is not None:
            self._deadline, self.late = deadline, False
        self._send()
        while True:
            for kind, payload in self._frames():
                if kind in until:
                    return Heard(kind, payload, self._functions)
                self._take(kind, payload)
            if not self._receive():
                return Heard(None, b"")

    def _send(self) -> None:
        while self._unsent:
            try:
                self._unsent = self._unsent[self._channel.send(self._unsent, socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                if not self._wait(select.POLLOUT):
                    return
            except OSError:
                return  # it died: reading says so

    def _wait(self, event: int) -> bool:
        left = self._deadline - time.monotonic()
        if left > 0:
            poller = select.poll()
            poller.register(self._channel, event)
            if poller.poll(left * 1000):
                return True
        if time.monotonic() >= self._deadline:
            self.late = True
        return not self.late

    def _receive(self) -> bool:
        """More bytes in the buffer; False at the end or past the deadline."""
        while self._wait(select.POLLIN):
            try:
                data = self._channel.recv(CHUNK, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except OSError:
                return False
            self._buffer += data
            return bool(data)
        return False

    def _frames(self) -> list[tuple[bytes, bytes]]:
        found: list[tuple[bytes, bytes]] = []
        start, buffer = 0, self._buffer
        while len(buffer) - start >= wire.FRAME.size:
            kind, size = wire.FRAME.unpack_from(buffer, start)
            if size > self._limit(kind) or not size:
                raise Violation
            end = start + wire.FRAME.size + size
            if len(buffer) < end:
                break
            payload = bytes(buffer[start + wire.FRAME.size : end])
            start = end
            if found and kind == found[-1][0] and kind in STREAMS:
                found[-1] = (kind, found[-1][1] + payload)
            else:
                found.append((kind, payload))
        del buffer[:start]
        return found

    def _limit(self, kind: bytes) -> int:
        if kind == wire.CODE:
            return wire.MAX_CODE_BYTES
        if kind == wire.RESULT:
            return self._max_result
        return wire.MAX_OUTPUT_FRAME if kind in STREAMS else wire.MAX_REPORT_BYTES

    def _take(self, kind: bytes, payload: bytes) -> None:
        if kind in STREAMS and self._report is not None:
            self._room[kind] -= len(payload)
            if self._room[kind] < 0:
                raise Violation
            if kind not in self._decoders:
                self._decoders[kind] = UTF8("replace")
            self._report.output(STREAMS[kind], self._decoders[kind].decode(payload))
        elif kind == wire.FUNCTIONS and self._report is None and not self._functions:
            self._functions = payload
        else:
            raise Violation


def parse_json(data: bytes) -> Any:
    """JSON that a child wrote, within what the API can show. Raises Violation."""
    try:
        # Not left to json, which guesses at UTF-16 and lets lone surrogates through in UTF-8.
        value = _JSON.decode(data.decode("utf-8"))
        if b"\\ud" in data or b"\\uD" in data:  # an escape may hide a lone surrogate, which no child of ours writes
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise Violation from None
    return value


def parse_usage(data: bytes, cpu_seconds: int) -> dict[str, Any]:
    """What a child that may use `cpu_seconds` says at the head of its last word that it has used. Raises Violation."""
    if len(data) < wire.USAGE.size:
        raise Violation
    cpu, peak = wire.USAGE.unpack_from(data)
    # NaN is neither.
    if not 0 <= cpu <= cpu_seconds + CPU_GRACE or peak > MAX_PEAK:
        raise Violation
    return {"cpu": round(cpu, 6), "peak_memory": peak}


def parse_result(data: bytes) -> Any:
    """A result, which is within the bounds that children keep. Raises Violation."""
    value = parse_json(data)
    level, depth, count = [value], 0, 0
    while level:
        count += len(level)
        if count > MAX_VALUES:
            raise Violation
        inner = [each for each in level if isinstance(each, (dict, list))]
        level = [item for each in inner for item in (each.values() if isinstance(each, dict) else each)]
        depth += bool(inner)
        if depth > MAX_DEPTH:
            raise Violation
    return value


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(text)
    return number


def _no_constant(name: str) -> Any:
    raise ValueError(name)


#: json.loads would make one anew for each call.
_JSON = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
