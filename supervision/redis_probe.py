"""Asks a Redis server whether it is there, lets us in and is fit for us: over a plain socket, no client library."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qs, unquote, urlsplit

#: The first version that knows script flags, which tasks/store/ needs.
OLDEST = (7, 0)
#: Largest answer to INFO that is read, in bytes.
MOST_INFO = 262_144


class Answer(StrEnum):
    """What came back."""

    PONG = "pong"
    #: It answers and is older than OLDEST.
    OLD = "old"
    #: Nobody listens there.
    ABSENT = "absent"
    #: It is loading its data and will serve soon.
    LOADING = "loading"
    #: It speaks Redis and will not let us in, or not to that database.
    REFUSED = "refused"
    #: Somebody listens who is not Redis, or who says nothing.
    STRANGER = "stranger"
    #: The name does not resolve, the network does not lead there, TLS fails.
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer, and the server's or the system's own words for it."""

    answer: Answer
    words: str = ""
    #: What INFO says, where it let us ask.
    info: Mapping[str, str] = field(default_factory=dict)


def ping(url: str, *, timeout: float = 2.0) -> Reply:
    """Connect to `url` (redis:// or rediss://), log in, choose the database and PING; `timeout` in seconds."""
    try:
        with _connect(url, timeout) as connection:
            greeting = _greeting(url)
            connection.sendall(b"".join(greeting))
            reply = _read(connection, expected=len(greeting))
            return _look(connection) if reply.answer is Answer.PONG else reply
    except ConnectionRefusedError:
        return Reply(answer=Answer.ABSENT, words="connection refused")
    except TimeoutError:
        return Reply(answer=Answer.UNREACHABLE, words=f"no connection within {timeout:g} s")
    except OSError as error:
        return Reply(answer=Answer.UNREACHABLE, words=error.strerror or str(error))


def _look(connection: socket.socket) -> Reply:
    """Ask a server that lets us in what it is; one that does not say may be used all the same."""
    connection.sendall(command("INFO"))
    info = dict(re.findall(r"^(\w+):(.*?)\r?$", _bulk(connection).decode("utf-8", "replace"), re.MULTILINE))
    version = info.get("redis_version", "")
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    old = bool(numbers) and numbers < OLDEST
    return Reply(answer=Answer.OLD if old else Answer.PONG, words=f"version {version}" if old else "", info=info)


def _bulk(connection: socket.socket) -> bytes:
    """One bulk string; empty where another answer comes, or none in time."""
    received = b""
    try:
        while len(received) < MOST_INFO:
            head, found, rest = received.partition(b"\r\n")
            if found and not re.fullmatch(rb"\$\d{1,6}", head):
                return b""
            if found and len(rest) >= int(head[1:]):
                return rest[: int(head[1:])]
            more = connection.recv(65_536)
            if not more:
                return b""
            received += more
    except (TimeoutError, ConnectionError):
        return b""
    return b""


def _connect(url: str, timeout: float) -> socket.socket:
    parts = urlsplit(url)
    host = parts.hostname or "localhost"
    plain = socket.create_connection((host, parts.port or 6379), timeout=timeout)
    if parts.scheme != "rediss":
        return plain
    try:
        return _tls(parts.query).wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def _tls(query: str) -> ssl.SSLContext:
    """The options that redis-py also reads from the query of a URL: `ssl_ca_certs`, `ssl_cert_reqs`."""
    options = parse_qs(query)
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs", [None])[0])
    if options.get("ssl_cert_reqs", ["required"])[0] == "none" or options.get("ssl_check_hostname") == ["False"]:
        context.check_hostname = False
    if options.get("ssl_cert_reqs", ["required"])[0] == "none":
        context.verify_mode = ssl.CERT_NONE
    return context


def _greeting(url: str) -> list[bytes]:
    parts = urlsplit(url)
    commands: list[tuple[str, ...]] = []
    if parts.password:
        name = (unquote(parts.username),) if parts.username else ()
        commands.append(("AUTH", *name, unquote(parts.password)))
    database = parts.path.strip("/")
    if database and database != "0":
        commands.append(("SELECT", database))
    return [command(*words) for words in (*commands, ("PING",))]


def command(*words: str) -> bytes:
    """One command as RESP, an array of bulk strings (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def _read(connection: socket.socket, *, expected: int) -> Reply:
    received = b""
    while received.count(b"\r\n") < expected and len(received) < 4096:
        try:
            more = connection.recv(4096)
        except (TimeoutError, ConnectionError):
            more = b""
        if not more:
            break
        received += more
        if received[:1] not in (b"+", b"-"):
            break
    return _judge(received.split(b"\r\n"), expected)


def _judge(lines: list[bytes], expected: int) -> Reply:
    for line in lines[:expected]:
        words = line[1:].decode("utf-8", "replace")[:200]
        if line.startswith(b"-LOADING"):
            return Reply(answer=Answer.LOADING, words=words)
        if line.startswith(b"-"):
            return Reply(answer=Answer.REFUSED, words=words)
        if not line.startswith(b"+"):
            return Reply(answer=Answer.STRANGER)
    return Reply(answer=Answer.PONG if lines[expected - 1 : expected] == [b"+PONG"] else Answer.STRANGER)
