"""Asks Sentinels which server is the master: over a plain socket, no client library."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from config import redis_address
from config.settings import Settings
from supervision.problems import CannotStart
from supervision.redis_probe import command

#: Seconds for one Sentinel.
PATIENCE = 2.0
#: An array of host and port, as RESP has it.
ADDRESS = re.compile(rb"\*2\r\n\$\d+\r\n([^\r\n]+)\r\n\$\d+\r\n(\d+)\r\n")
#: What stands for nothing: the Sentinel knows no master of that name.
NOTHING = (b"*-1\r\n", b"$-1\r\n", b"_\r\n")


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one Sentinel said: where the master is, or why it does not say."""

    host: str = ""
    port: int = 0
    words: str = ""


def url_of_master(settings: Settings) -> str:
    """The URL of the server that the first Sentinel who answers takes for the master. Raises CannotStart."""
    secret = settings.redis_sentinel_password
    password = secret.get_secret_value() if secret else ""
    complaints = []
    for sentinel in settings.redis_sentinels:
        told = ask(sentinel, settings.redis_sentinel_master, password)
        if told.host:
            login = settings.redis_password.get_secret_value() if settings.redis_password else None
            return redis_address.of_server(told.host, told.port, password=login, database=settings.redis_db)
        complaints.append(f"{sentinel} {told.words}")
    raise CannotStart(
        f"No Sentinel says where the master {settings.redis_sentinel_master} is ({'; '.join(complaints)}): "
        "correct REDIS_SENTINELS, REDIS_SENTINEL_MASTER or REDIS_SENTINEL_PASSWORD."
    )


def ask(sentinel: str, master: str, password: str) -> Told:
    """What the Sentinel at `host:port` says."""
    parts = urlsplit(f"//{sentinel}")
    try:
        with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE) as connection:
            login = command("AUTH", password) if password else b""
            connection.sendall(login + command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", master))
            return _read(connection, logs_in=bool(password))
    except TimeoutError:
        return Told(words=f"does not answer within {PATIENCE:g} s")
    except OSError as error:
        return Told(words=f"cannot be reached: {error.strerror or error}")


def _read(connection: socket.socket, *, logs_in: bool) -> Told:
    received = b""
    while len(received) < 4096:
        more = connection.recv(4096)
        received += more
        answer = received.removeprefix(b"+OK\r\n") if logs_in else received
        if answer.startswith(b"-") and answer.endswith(b"\r\n"):
            return Told(words=f"refuses us: {answer.split(bytes([13]))[0][1:].decode('utf-8', 'replace')[:200]}")
        if answer in NOTHING:
            return Told(words="knows no such master")
        if found := ADDRESS.fullmatch(answer):
            return Told(host=found[1].decode("ascii", "replace"), port=int(found[2]))
        if not more:
            break
    return Told(words="does not answer as a Sentinel does")
