"""Users, their sessions and their API keys in Redis; and the audit log and the rate limits beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.principal import Role
from tasks.store.connection import PREFIX, Connection
from tasks.store.parse import pairs

#: Milliseconds after which the use of an API key is noted again.
USE_NOTED = 60_000


@dataclass(frozen=True, kw_only=True)
class User:
    """Somebody with a password. The hash of it stays with the Store and whoever checks it."""

    name: str
    role: Role
    disabled: bool
    created_at: int
    updated_at: int


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """An API key without its secret, which nobody has but whom it was shown."""

    id: str
    user: str
    name: str
    role: Role
    created_at: int
    expires_at: int | None
    #: Noted once a minute at most.
    used_at: int | None


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What a rate limit says of a request."""

    allowed: bool
    #: Milliseconds until it would be allowed.
    wait: int
    #: Which of the limits is nearest to full, how many requests are left in it, and ms until it is empty again.
    limit: int
    left: int
    reset: int


class Accounts:
    """Every verb is atomic; each raises StoreUnavailable where Redis is away."""

    def __init__(self, connection: Connection) -> None:
        self._redis = connection

    # --- users ---------------------------------------------------------------------------------------------------

    def create_user(self, name: str, role: Role, password_hash: str, *, only_first_admin: bool = False) -> str:
        """Add a user; `created`, `taken`, `former` (a name that was given before) or `admin_exists`."""
        return str(self._redis.run("user_create", name, role, password_hash, 1 if only_first_admin else 0))

    def change_user(
        self, name: str, *, role: Role | None = None, password_hash: str = "", disabled: bool | None = None
    ) -> str:
        """Change a user; `changed`, `missing` or `last_admin`. A new password and being disabled end all sessions."""
        switch = "" if disabled is None else str(int(disabled))
        return str(self._redis.run("user_change", name, role or "", password_hash, switch))

    def delete_user(self, name: str) -> str:
        """Remove a user with his keys and secrets; `deleted`, `missing` or `last_admin`."""
        return str(self._redis.run("user_delete", name))

    def user(self, name: str) -> tuple[User, str] | None:
        """A user and the hash of his password."""
        fields = pairs_of(self._redis.command("HGETALL", f"{PREFIX}user:{name}"))
        return (_user(name, fields), fields["password"]) if fields else None

    def rehash(self, name: str, was: str, password_hash: str) -> None:
        """Keep the same password under a newer hash; sessions stay. Not atomic: losing a race costs nothing."""
        found = self.user(name)
        if found is not None and found[1] == was:
            self._redis.command("HSET", f"{PREFIX}user:{name}", "password", password_hash)

    def users(self, *, limit: int, after: str = "") -> tuple[Sequence[User], str | None]:
        """A page of users by name, and the name to go on after."""
        following, found = self._redis.run("user_list", after, limit)
        return [_user(name, pairs(flat)) for name, flat in found], following or None

    # --- sessions ------------------------------------------------------------------------------------------------

    def open_session(self, session: str, user: str, *, checked: str, refresh: str, seconds: int) -> Role | None:
        """Open a session for a user whose password hash `checked` was right; his role, None if that is not so now."""
        role = self._redis.run("session_open", session, user, checked, refresh, seconds)
        return Role(role) if role else None

    def session(self, session: str) -> tuple[str, Role] | None:
        """User and role of a session that is good."""
        answer = self._redis.run("session_read", session)
        return (answer[0], Role(answer[1])) if answer else None

    def refresh_session(self, session: str, *, was: str, now: str, seconds: int) -> tuple[str, Role | None] | None:
        """Trade the refresh token `was` for `now`; user and role. No role: `was` came twice and the session ended."""
        answer = self._redis.run("session_refresh", session, was, now, seconds)
        if not answer:
            return None
        return (answer[1], None) if answer[0] == "reused" else (answer[0], Role(answer[1]))

    def end_session(self, session: str) -> None:
        """End a session with all its tokens."""
        self._redis.command("DEL", f"{PREFIX}session:{session}")

    # --- API keys ------------------------------------------------------------------------------------------------

    def create_key(self, key: ApiKey, digest: str, *, most: int) -> int | str:
        """Keep a key; when it was made (ms), or `missing` (no such user) or `too_many`."""
        expires = "" if key.expires_at is None else key.expires_at
        answer = self._redis.run("key_create", key.id, key.user, key.name, key.role, digest, expires, most)
        return int(answer) if str(answer).isdigit() else str(answer)

    def key(self, key_id: str, digest: str) -> tuple[str, Role, Role] | None:
        """User, his role and the key's role, of a key that is good."""
        answer = self._redis.run("key_read", key_id, digest, USE_NOTED)
        return (answer[0], Role(answer[1]), Role(answer[2])) if answer else None

    def keys(self, user: str) -> Sequence[ApiKey]:
        """A user's keys, oldest first."""
        found = [_key(key_id, pairs(flat)) for key_id, flat in self._redis.run("key_list", user)]
        return sorted(found, key=lambda key: (key.created_at, key.id))

    def delete_key(self, key_id: str, user: str = "") -> bool:
        """Revoke a key, only where it is this user's if one is named; whether there was one."""
        return bool(self._redis.run("key_delete", key_id, user))

    # --- limits and audit ----------------------------------------------------------------------------------------

    def count(self, buckets: Sequence[tuple[str, int, int]]) -> Allowance:
        """Count a request against several limits: name of the bucket, requests, in so many ms."""
        words = [word for bucket in buckets for word in bucket]
        allowed, wait, fullest, left, reset = self._redis.run("rate", *words)
        limit = buckets[int(fullest) - 1][1]
        return Allowance(allowed=bool(allowed), wait=wait, limit=limit, left=left, reset=reset)

    def note(self, entry: Mapping[str, str], *, keep: int) -> None:
        """Add an entry to the audit log, which keeps about the last `keep`."""
        words = [word for pair in entry.items() for word in pair]
        self._redis.command("XADD", f"{PREFIX}audit", "MAXLEN", "~", keep, "*", *words)

    def audit(self, *, limit: int, before: str | None = None) -> tuple[Sequence[Mapping[str, str]], str | None]:
        """Entries of the audit log, newest first, each with its `id`, which begins with its moment; where to go on."""
        begin = f"({before}" if before else "+"
        found = self._redis.command("XREVRANGE", f"{PREFIX}audit", begin, "-", "COUNT", limit + 1)
        entries = [{"id": entry_id, **pairs_of(flat)} for entry_id, flat in found]
        return entries[:limit], entries[limit - 1]["id"] if len(entries) > limit else None


def pairs_of(answer: Any) -> dict[str, str]:
    """A flat list or a mapping, whichever the client made of it."""
    return dict(answer) if isinstance(answer, Mapping) else pairs(answer)


def _user(name: str, fields: Mapping[str, str]) -> User:
    return User(
        name=name,
        role=Role(fields["role"]),
        disabled=fields["disabled"] == "1",
        created_at=int(fields["created"]),
        updated_at=int(fields["updated"]),
    )


def _key(key_id: str, fields: Mapping[str, str]) -> ApiKey:
    return ApiKey(
        id=key_id,
        user=fields["user"],
        name=fields["name"],
        role=Role(fields["role"]),
        created_at=int(fields["created"]),
        expires_at=int(fields["expires"]) if "expires" in fields else None,
        used_at=int(fields["used"]) if "used" in fields else None,
    )
