"""How much of a request has arrived: what can be told of its framing without acting on it (RFC 9112 §6).

What can be read in two ways is refused here, before any parser picks one of them.
"""

from __future__ import annotations

import re
from enum import Enum

#: Bytes of a request's head: its line and its headers.
MOST_HEAD = 65_536
_END = b"\r\n\r\n"
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\x00]*?)[ \t]*")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(;[^\r\n\x00]{0,200})?\r\n")
_LENGTH = re.compile(rb"\d{1,15}")
_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21-\x7e\x80-\xff]+ HTTP/(\d)\.(\d)")
#: A name, an IPv4 address or an IPv6 one in brackets, and a port (RFC 3986 §3.2.2).
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]*)(?::\d{0,5})?")


class Ambiguous(Exception):
    """The request can be read in more than one way, or not at all; `status` is what it is answered with."""

    def __init__(self, status: int, detail: str = "") -> None:
        super().__init__(status)
        self.status = status
        self.detail = detail


class State(Enum):
    """What is known of the length of a body."""

    HEAD = 0
    LENGTH = 1
    CHUNKS = 2
    TRAILER = 3
    WHOLE = 4


class Arrival:
    """A request as it comes in."""

    def __init__(self, most_body: int) -> None:
        self.data = bytearray()
        #: Whether the client waits for leave to send the body (RFC 9110 §10.1.1).
        self.waits = False
        self._most_body = most_body
        self._state = State.HEAD
        self._at = 0

    def add(self, data: bytes) -> bool:
        """Take what has arrived; whether the request is whole now, or too large to be waited for. Raises Ambiguous."""
        self.data += data
        if self._state is State.HEAD:
            self._read_head()
        if self._state is State.CHUNKS:
            self._read_chunks()
        if self._state is State.TRAILER and _END[2:] in self.data[self._at :]:
            self._read_trailer()
        if self._state is State.LENGTH and len(self.data) >= self._at:
            self._state = State.WHOLE
        return self._state is State.WHOLE

    def _read_head(self) -> None:
        end = self.data.find(_END, max(0, self._at - 3))
        if end < 0:
            self._at = len(self.data)
            if self._at > MOST_HEAD:
                raise Ambiguous(431)
            return
        if end > MOST_HEAD:
            raise Ambiguous(431)
        line, *fields = bytes(self.data[:end]).split(b"\r\n")
        version = _version(line)
        lengths, codings, hosts = self._framing(fields)
        if len(hosts) > 1 or (not hosts and version > (1, 0)) or not all(map(_HOST.fullmatch, hosts)):
            raise Ambiguous(400, "HTTP/1.1 wants one header Host, with a name or an address.")
        # RFC 9110 §10.1.1: who speaks HTTP/1.0 does not know the interim answer.
        self.waits = self.waits and version > (1, 0)
        self._at = end + len(_END)
        if len(lengths) + len(codings) > 1 or any(coding.lower() != b"chunked" for coding in codings):
            raise Ambiguous(400)
        if codings:
            self._state = State.CHUNKS
            return
        if lengths and not _LENGTH.fullmatch(lengths[0]):
            raise Ambiguous(400)
        length = int(lengths[0]) if lengths else 0
        # One that is too large is refused by its length alone, without waiting for it.
        self._state = State.WHOLE if length > self._most_body else State.LENGTH
        self._at += length

    def _framing(self, lines: list[bytes]) -> tuple[list[bytes], list[bytes], list[bytes]]:
        found: dict[bytes, list[bytes]] = {b"content-length": [], b"transfer-encoding": [], b"host": []}
        for line in lines:
            field = _FIELD.fullmatch(line)
            if field is None:
                raise Ambiguous(400)
            name, value = field[1].lower(), field[2]
            if name in found:
                found[name].append(value)
            elif name == b"expect":
                self.waits = value.lower() == b"100-continue"
        return found[b"content-length"], found[b"transfer-encoding"], found[b"host"]

    def _read_chunks(self) -> None:
        while True:
            line = _CHUNK.match(self.data, self._at)
            if line is None:
                if b"\r\n" in self.data[self._at : self._at + 300] or len(self.data) - self._at > 300:
                    raise Ambiguous(400)
                return
            size = int(line[1], 16)
            if size == 0:
                self._state, self._at = State.TRAILER, line.end() - 2
                return
            following = line.end() + size + 2
            if following > self._most_body * 2 + MOST_HEAD:
                raise Ambiguous(413)
            if len(self.data) < following:
                return
            if self.data[following - 2 : following] != b"\r\n":
                raise Ambiguous(400)
            self._at = following

    def _read_trailer(self) -> None:
        # Trailers are of no use to us and a way to smuggle headers: there must be none.
        if self.data[self._at : self._at + 4] == _END:
            self._state = State.WHOLE
        elif len(self.data) >= self._at + 4:
            raise Ambiguous(400)


def _version(line: bytes) -> tuple[int, int]:
    """The version of HTTP that a request line names. Raises Ambiguous: 400 for no such line, 505 for one not of 1.x."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise Ambiguous(400, "The first line is no request of HTTP.")
    version = (int(found[1]), int(found[2]))
    if version[0] != 1:
        raise Ambiguous(505, "This service speaks HTTP/1.1.")
    return version
