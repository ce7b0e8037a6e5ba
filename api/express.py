"""The express lane: a submission that asks for nothing else is answered without Flask.

Most of what a POST costs is done for requests that could be any. This one is known by its bytes: one path, a JSON
body, and no header that anybody would have to act on. All else takes the long way, and so does what is refused, with
the fault that was found: one place tells faults. A test holds the answers of both ways against each other.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api import audit, body, representation
from api.browser import HEADERS, Browsers
from api.errors import BadRequest
from config.settings import Settings
from tasks.model import Task
from tasks.principal import ANONYMOUS
from tasks.task_manager import TaskManager

#: Where the long way finds, in the environ of a request, the fault that the express lane met.
FAULT = "tms.fault"
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_REQUEST_LINE = b"POST /api/tasks HTTP/1.1"
_MOST_HEAD = 4096
#: Bytes of a body for which others may wait.
_MOST_QUICK = 16_384
#: Headers that a plain submission may have, each once, and what they may say.
_HEADERS: Mapping[bytes, re.Pattern[bytes]] = {
    b"host": re.compile(rb"[A-Za-z0-9.-]+(?::\d+)?|\[[0-9A-Fa-f:]+\](?::\d+)?"),
    b"content-type": re.compile(rb"application/json"),
    b"content-length": re.compile(rb"[1-9]\d*"),
    b"connection": re.compile(rb"(?i:keep-alive)"),
    b"x-request-id": re.compile(REQUEST_ID.pattern.encode()),
    **dict.fromkeys((b"accept", b"accept-encoding", b"accept-language", b"user-agent"), re.compile(rb"[ -~]*")),
}


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A plain submission, of which nobody has looked at the task yet."""

    body: Any
    #: Whether it takes no longer than Redis does, so that others may wait for it.
    is_quick: bool
    address: str
    request_id: str

    def account(self, tasks: Sequence[Task]) -> Mapping[str, str]:
        """Its entry of the audit log."""
        return audit.entry(
            ANONYMOUS,
            what="POST /api/tasks",
            target=tasks[0].id,
            status=201,
            address=self.address,
            request_id=self.request_id,
        )


class Express:
    """Reads what is plain, and answers any number of them with one round trip to Redis; made by `lane`."""

    def __init__(self, manager: TaskManager, browsers: Browsers, dumps: Callable[[Any], str]) -> None:
        self._manager = manager.asked_by(ANONYMOUS)
        self._is_known = browsers.is_known
        self._dumps = dumps
        self._fixed = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())

    def read(self, data: bytes, address: str) -> Plain | None:
        """The submission in a whole request from `address`; None where it is to take the long way."""
        head, _, content = data.partition(b"\r\n\r\n")
        headers = plain(head)
        if headers is None or int(headers[b"content-length"]) != len(content):
            return None
        if not self._is_known(headers[b"host"].decode("ascii")):
            return None
        try:
            told = body.parse(content)
        except BadRequest:
            return None  # said by the long way
        return Plain(
            body=told,
            is_quick=len(content) <= _MOST_QUICK and self._manager.is_quick(told),
            address=address,
            request_id=headers.get(b"x-request-id", b"").decode("ascii") or uuid.uuid4().hex,
        )

    def answer(self, asked: Sequence[Plain]) -> Sequence[bytes | Exception]:
        """The answers, but for the first lines, which every answer has alike.

        A fault where one was met: then nothing was stored, or nobody knows, and it is not to be tried again.
        """
        try:
            found = self._manager.submit_each([(each.body, each.account) for each in asked])
            return [
                each if isinstance(each, Exception) else self._told(each, one.request_id)
                for one, each in zip(asked, found, strict=True)
            ]
        except Exception as fault:  # noqa: BLE001 - told by the long way, which tells every one
            return [fault] * len(asked)

    def _told(self, task: Task, request_id: str) -> bytes:
        shown = representation.task_detail(task, self._manager.upcoming(task, representation.UPCOMING))
        text = self._dumps(shown).encode()
        return (
            f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\nLocation: /api/tasks/{task.id}\r\n"
            f"{self._fixed}X-Request-Id: {request_id}\r\n\r\n"
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
