"""The express lane: a submission that asks for nothing else is answered without Flask.

Most of what a POST costs is done for requests that could be any. This one is known by its bytes: one path, a JSON
body, and no header that anybody would have to act on. All else takes the long way, and so does what is refused, with
the fault that was found: one place tells faults. A test holds the answers of both ways against each other.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from api import audit, body, representation
from api.browser import HEADERS, Browsers
from config.settings import Settings
from tasks.model import Task
from tasks.principal import ANONYMOUS
from tasks.task_manager import TaskManager

#: Where the long way finds, in the environ of a request, the fault that the express lane met.
FAULT = "tms.fault"
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_REQUEST_LINE = b"POST /api/tasks HTTP/1.1"
_MOST_HEAD = 4096
#: Headers that a plain submission may have, each once, and what they may say.
_HEADERS: Mapping[bytes, re.Pattern[bytes]] = {
    b"host": re.compile(rb"[A-Za-z0-9.-]+(?::\d+)?|\[[0-9A-Fa-f:]+\](?::\d+)?"),
    b"content-type": re.compile(rb"application/json"),
    b"content-length": re.compile(rb"[1-9]\d*"),
    b"connection": re.compile(rb"(?i:keep-alive)"),
    b"x-request-id": re.compile(REQUEST_ID.pattern.encode()),
    **dict.fromkeys((b"accept", b"accept-encoding", b"accept-language", b"user-agent"), re.compile(rb"[ -~]*")),
}


class Express:
    """Serves what it recognizes; made by `lane`."""

    def __init__(self, manager: TaskManager, browsers: Browsers, dumps: Callable[[Any], str]) -> None:
        self._manager = manager.asked_by(ANONYMOUS)
        self._is_known = browsers.is_known
        self._dumps = dumps
        self._fixed = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())

    def answer(self, data: bytes, address: str) -> bytes | Exception | None:
        """The answer to a whole request from `address`, but for its first lines, which every answer has alike.

        A fault where it cannot be done, which nothing was stored for that could be stored once more; None where it is
        not of the sort.
        """
        head, _, content = data.partition(b"\r\n\r\n")
        headers = plain(head)
        if headers is None or int(headers[b"content-length"]) != len(content):
            return None
        if not self._is_known(headers[b"host"].decode("ascii")):
            return None
        name = headers.get(b"x-request-id", b"").decode("ascii") or uuid.uuid4().hex

        def account(tasks: Sequence[Task]) -> Mapping[str, str]:
            return audit.entry(
                ANONYMOUS, what="POST /api/tasks", target=tasks[0].id, status=201, address=address, request_id=name
            )

        try:
            task = self._manager.submit(body.parse(content), None, account)
            shown = representation.task_detail(task, self._manager.upcoming(task, representation.UPCOMING))
            text = self._dumps(shown).encode()
        except Exception as fault:  # noqa: BLE001 - told by the long way, which tells every one
            return fault
        return (
            f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\nLocation: /api/tasks/{task.id}\r\n"
            f"{self._fixed}X-Request-Id: {name}\r\n\r\n"
        ).encode() + text


def lane(manager: TaskManager, settings: Settings, browsers: Browsers, dumps: Callable[[Any], str]) -> Express | None:
    """The express lane; None where every request must be looked at more closely: who sends it, how often, by whom."""
    closely = settings.auth_is_required or settings.request_rate or settings.trusted_proxies or settings.cors_origins
    return None if closely else Express(manager, browsers, dumps)


def plain(head: bytes) -> dict[bytes, bytes] | None:
    """The headers of a plain submission; None where the request is anything else. Its framing was checked before."""
    line, *fields = head.split(b"\r\n")
    if line != _REQUEST_LINE or len(head) > _MOST_HEAD:
        return None
    found: dict[bytes, bytes] = {}
    for field in fields:
        name, _, value = field.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        if name in found or name not in _HEADERS:
            return None
        if not _HEADERS[name].fullmatch(value):
            return None
        found[name] = value
    return found if {b"host", b"content-type", b"content-length"} <= found.keys() else None
