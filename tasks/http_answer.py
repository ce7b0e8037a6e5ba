"""What came back from an HTTP call, read under a cap and turned into plain JSON data."""

from __future__ import annotations

import base64
import codecs
import contextlib
import http.client
import io
import json
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any, Final

from urllib3.response import BaseHTTPResponse

PIECE: Final = 65_536
#: Names and values of the headers that are kept, in characters; the rest is dropped and the answer marked truncated.
MAX_HEADERS: Final = 65_536
#: Deeper JSON is given as text: whoever reads the result would run into the recursion limit.
MAX_DEPTH: Final = 100

# Other codecs of Python are not character sets, or take quadratic time (punycode).
_CHARSETS = re.compile(
    r"ascii|big5(hkscs)?|cp\d+|euc_\w+|gb\w+|hz|iso2022_\w+|iso8859-\d+|johab|koi8-\w|mac-\w+|ptcp154|shift_jis\w*"
    r"|tis-620|utf-(8|16|32)(-(sig|le|be))?"
)
_TEXTUAL = re.compile(r"text/|application/(javascript|x-www-form-urlencoded|graphql)|.*[/+](json|xml|yaml)$")
_SECONDS = re.compile(r"\d{1,9}")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One response; its body is decompressed and cut at the cap."""

    status: int
    #: A header that came several times has its values joined with ", ".
    headers: Mapping[str, str]
    url: str
    body: bytes
    truncated: bool

    def value(self, *, elapsed: float, max_bytes: int) -> dict[str, Any]:
        """The answer as JSON data of at most `max_bytes` in UTF-8; what does not fit is cut and marked `truncated`.

        The content is under one of three names: `json` where the type says JSON and it is valid, `body` for text,
        `body_base64` where no charset is named, the type is not a textual one and the bytes are not UTF-8.
        """
        headers, dropped = _fitting(self.headers, min(MAX_HEADERS, max_bytes // 2))
        frame = {
            "status_code": self.status,
            "headers": headers,
            "elapsed": round(elapsed, 3),
            "url": self.url[: max_bytes // 8],
            "truncated": self.truncated or dropped,
        }
        room = max_bytes - _size(frame) - len(',"body_base64":')
        return frame | self._content(room)

    @property
    def retry_after(self) -> float | None:
        """Seconds until the server wants to be asked again (RFC 9110 §10.2.3), or None."""
        told = self._header("retry-after").strip()
        if _SECONDS.fullmatch(told):
            return float(told)
        try:
            return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
        except (ValueError, OverflowError, OSError):
            return None

    def _content(self, room: int) -> dict[str, Any]:
        kind, charset = self._media_type()
        if not self.truncated and re.fullmatch(r"(application|text)/(.+\+)?json", kind):
            try:
                return {"json": _json(self.body, charset, room)}
            except ValueError:
                pass
        text = _text(self.body, charset, textual=bool(_TEXTUAL.match(kind)), cut=self.truncated)
        if text is not None:
            return _cut("body", text, room)
        return _cut("body_base64", base64.b64encode(self.body).decode(), room)

    def _media_type(self) -> tuple[str, str | None]:
        message = Message()
        message["Content-Type"] = self._header("content-type").replace("\r", "").replace("\n", "")
        charset = message.get_param("charset")
        known = self._header("content-type") != ""
        return message.get_content_type() if known else "", charset if isinstance(charset, str) else None

    def _header(self, name: str) -> str:
        return next((value for key, value in self.headers.items() if key.lower() == name), "")


class _Lines(io.BufferedReader):
    """Remembers the last line it was asked for."""

    last = b""

    def readline(self, size: int | None = -1, /) -> bytes:
        self.last = super().readline(size)
        return self.last


class WholeResponse(http.client.HTTPResponse):
    """A response whose head must end with an empty line (RFC 9112 §8).

    http.client takes a connection that breaks among the headers for the end of the headers, and so for a success.
    """

    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None):
        super().__init__(sock, debuglevel, method, url)
        self._lines = _Lines(self.fp.detach())
        self.fp = self._lines

    def begin(self) -> None:
        """Read the head. Raises ConnectionResetError where it breaks off."""
        super().begin()
        if self._lines.last not in (b"\r\n", b"\n"):
            raise ConnectionResetError


def read_answer(response: BaseHTTPResponse, *, url: str, max_bytes: int) -> Answer:
    """The response, with as much of its body as `max_bytes` allow; reads no further.

    Raises what urllib3 and the socket raise where the connection breaks or the encoding is bad.
    """
    body = bytearray()
    while len(body) <= max_bytes:
        piece = response.read(min(PIECE, max_bytes + 1 - len(body)))
        if not piece:
            break
        body += piece
    truncated = len(body) > max_bytes
    headers = {name: response.headers[name] for name in response.headers}
    return Answer(status=response.status, headers=headers, url=url, body=bytes(body[:max_bytes]), truncated=truncated)


def _fitting(headers: Mapping[str, str], room: int) -> tuple[dict[str, str], bool]:
    kept: dict[str, str] = {}
    for name, value in headers.items():
        room -= _size({name: value})
        if room < 0:
            return kept, True
        kept[name] = value
    return kept, False


def _json(body: bytes, charset: str | None, room: int) -> Any:
    """The body as JSON data that can be stored and read again. Raises ValueError for everything else."""
    codec = _codec(charset)
    try:
        value = json.loads(body.decode(codec) if codec else body)
        if _size(value) > room or _deeper(value, MAX_DEPTH):
            raise ValueError("too large or too deep")
    except RecursionError:
        raise ValueError("too deep") from None
    return value


def _deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _text(body: bytes, charset: str | None, *, textual: bool, cut: bool) -> str | None:
    """The body as text, or None where nothing says that it is text.

    The charset of Content-Type decides; without a usable one it is UTF-8, and where that fails only a textual type
    is still read as UTF-8, with its broken bytes replaced.
    """
    codec = _codec(charset)
    if codec is not None:
        with contextlib.suppress(UnicodeError):  # UTF-16 without a byte order mark is refused even by "replace"
            return _decoded(body, codec, "replace", cut=cut)
    try:
        return _decoded(body, "utf-8-sig", "strict", cut=cut)
    except UnicodeDecodeError:
        return _decoded(body, "utf-8-sig", "replace", cut=cut) if textual else None


def _decoded(body: bytes, codec: str, errors: str, *, cut: bool) -> str:
    # The cap may have cut through a character: an incremental decoder leaves its first bytes out.
    return codecs.getincrementaldecoder(codec)(errors).decode(body, final=not cut)


def _codec(charset: str | None) -> str | None:
    try:
        name = codecs.lookup(charset or "").name
    except (LookupError, ValueError):
        return None
    if not _CHARSETS.fullmatch(name):
        return None
    # Pages labelled with the older names use characters of the newest one (https://encoding.spec.whatwg.org/#gbk).
    return {"gb2312": "gb18030", "gbk": "gb18030", "utf-8": "utf-8-sig"}.get(name, name)


def _cut(name: str, text: str, room: int) -> dict[str, Any]:
    if _size(text) <= room:
        return {name: text}
    while text and _size(text) > room:
        text = text[: max(0, min(len(text) - 1, len(text) * room // _size(text)))]
    if name == "body_base64":
        text = text[: len(text) // 4 * 4]
    return {name: text, "truncated": True}


def _size(value: Any) -> int:
    """Bytes of the value as JSON in UTF-8. Raises ValueError for NaN and for half a surrogate pair."""
    return len(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())
