"""Users' secrets in Redis, sealed: this side knows no key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.store.connection import PREFIX, Connection
from tasks.store.parse import pairs


@dataclass(frozen=True, kw_only=True)
class Secret:
    """What may be told of a secret; moments in milliseconds since the epoch."""

    name: str
    created_at: int
    updated_at: int


class Secrets:
    """Every verb is atomic; each raises StoreUnavailable where Redis is away."""

    def __init__(self, connection: Connection) -> None:
        self._redis = connection

    def put(self, owner: str, name: str, sealed: str, *, most: int) -> bool | None:
        """Keep it; whether it is new, None where the owner has `most` others already."""
        answer = self._redis.run("secret_put", owner, name, sealed, most)
        return None if answer == "full" else bool(answer == "new")

    def list(self, owner: str) -> list[Secret]:
        """All of them, by name."""
        found = pairs(self._redis.run("secret_list", owner))
        return [
            Secret(name=name, created_at=int(created), updated_at=int(updated))
            for name, (created, updated) in sorted((name, times.split(" ")) for name, times in found.items())
        ]

    def read(self, owner: str, names: Sequence[str]) -> dict[str, str]:
        """The sealed values of those that there are."""
        found = self._redis.command("HMGET", f"{PREFIX}secrets:{owner}", *names)
        return {name: kept.split(" ", 2)[2] for name, kept in zip(names, found, strict=True) if kept}

    def delete(self, owner: str, name: str) -> bool:
        """Forget it; whether it was there."""
        return bool(self._redis.command("HDEL", f"{PREFIX}secrets:{owner}", name))
