"""What an HTTP task asks for, the rules it must keep, and how it is put on the wire."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from tasks import __version__
from tasks.errors import FieldProblem

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

#: Statuses that send the client elsewhere (RFC 9110 §15.4); 300 and 304 do not.
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

#: Headers that belong to the connection and not to the request (RFC 9110 §7.6.1), or that we derive ourselves.
OWN_HEADERS: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

MAX_URL: Final = 8192

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 §5.5: of the controls only the tab is allowed
_STATUS = re.compile(r"[1-5](?:\d\d|xx)", re.IGNORECASE)
#: Headers that carry a secret in practice, besides the three that do so by definition.
_SECRET = re.compile(r"auth|cookie|token|secret|passw|credential|signature|session|api-?key|access-?key", re.IGNORECASE)


class Unset(Enum):
    """The type of UNSET, which tells "no JSON body" from the JSON body `null`."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """One request as the user asked for it."""

    #: http:// or https://, without credentials.
    api_url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Added to the query of `api_url`; a list repeats its name, true and false are written in lower case.
    params: Mapping[str, Any] | None = None
    #: Sent as UTF-8 with Content-Type application/json; excludes `body`.
    json: Any = UNSET
    #: Sent as UTF-8 with Content-Type text/plain unless `headers` say otherwise; excludes `json`.
    body: str | None = None
    #: Sent as application/x-www-form-urlencoded; a list repeats its name; excludes `json` and `body`.
    form: Mapping[str, Any] | None = None
    #: `type` basic with `username` and `password` (RFC 7617), or bearer with `token` (RFC 6750).
    auth: Mapping[str, str | None] | None = None
    #: Statuses that count as success: codes (200, "200") or classes ("2xx"); empty: any 2xx.
    expected_status: tuple[str | int, ...] = ()
    #: A redirect is followed even where `expected_status` names its status.
    follow_redirects: bool = True
    #: Whether the certificate must be valid for the host.
    verify_tls: bool = True
    #: Certificates in PEM that are believed instead of the usual authorities.
    ca_certificate: str | None = None

    def expects(self, status: int) -> bool:
        """Whether an answer with this status is a success."""
        wanted = {str(one).lower() for one in self.expected_status} or {"2xx"}
        return str(status) in wanted or f"{status // 100}xx" in wanted


@dataclass(frozen=True, kw_only=True)
class Hop:
    """One request on the wire; a call makes a new one for every redirect it follows."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None

    def redirected(self, status: int, url: str) -> Hop:
        """The request that follows a redirect with this status to `url`.

        Methods change as requests and browsers do it: 303 and 302 turn everything but HEAD into GET, 301 only POST.
        The body goes only where the method changes. To another origin no header travels whose name speaks of a
        credential (RFC 9110 §15.4 names Authorization and Cookie).
        """
        becomes_get = (status in (302, 303) and self.method != "HEAD") or (status == 301 and self.method == "POST")
        method, body, headers = self.method, self.body, dict(self.headers)
        if becomes_get and method != "GET":
            method, body = "GET", None
            headers = {name: value for name, value in headers.items() if not name.lower().startswith("content-")}
        if not same_origin(self.url, url):
            headers = {name: value for name, value in headers.items() if not _SECRET.search(name)}
        return replace(self, method=method, url=url, headers=headers, body=body)


def same_origin(here: str, there: str) -> bool:
    """Whether scheme, host and port agree; the step from http:80 to https:443 of one host counts as staying."""
    ours, theirs = origin(here), origin(there)
    upgraded = ours[0] == "http" and ours[2] == 80 and theirs == ("https", ours[1], 443)
    return ours == theirs or upgraded


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a checked URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def first_hop(request: HttpRequest, idempotency_key: str | None) -> Hop:
    """The request as it goes out first; it must have no problems."""
    headers = {
        "User-Agent": f"TaskManagementSystem/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "gzip, deflate",
    }
    body: bytes | None = None
    if request.json is not UNSET:
        body = _as_json(request.json)
        headers["Content-Type"] = "application/json"
    elif request.body is not None:
        body = request.body.encode()
        headers["Content-Type"] = "text/plain; charset=utf-8"
    elif request.form is not None:
        body = _urlencoded(request.form).encode()
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    if request.auth is not None:
        headers["Authorization"] = authorization(request.auth)
    if idempotency_key is not None:
        headers["Idempotency-Key"] = idempotency_key
    given = {name.lower() for name in request.headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in given}
    headers |= {name: value.strip(" \t") for name, value in request.headers.items()}
    return Hop(method=request.method.upper(), url=full_url(request), headers=headers, body=body)


def full_url(request: HttpRequest) -> str:
    """`api_url` with `params` added to its query and without its fragment."""
    parts = urlsplit(request.api_url)
    added = _urlencoded(request.params or {})
    query = "&".join(part for part in (parts.query, added) if part)
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))


def _urlencoded(fields: Mapping[str, Any]) -> str:
    return urlencode([(name, _as_text(one)) for name, value in fields.items() for one in _each(value)])


def authorization(auth: Mapping[str, str | None]) -> str:
    """The value of the header Authorization for an `auth` that has no problems."""
    if auth["type"] == "bearer":
        return f"Bearer {auth['token']}"
    return "Basic " + base64.b64encode(f"{auth['username']}:{auth['password']}".encode()).decode()


def request_problems(request: HttpRequest) -> Iterator[FieldProblem]:
    """Everything wrong with the request but its URL, which the guard judges."""
    if request.method.upper() not in METHODS:
        yield FieldProblem(pointer="/method", code="bad_method", message=f"Use one of {', '.join(METHODS)}.")
    yield from _header_problems(request.headers)
    yield from _param_problems(request)
    yield from _body_problems(request)
    yield from _auth_problems(request)
    for index, status in enumerate(request.expected_status):
        if not _STATUS.fullmatch(str(status)):
            yield FieldProblem(
                pointer=f"/expected_status/{index}",
                code="bad_status",
                message="Give a status from 100 to 599, or a class such as 2xx.",
            )


def _header_problems(headers: Mapping[str, str]) -> Iterator[FieldProblem]:
    seen: set[str] = set()
    for name, value in headers.items():
        fault = _name_fault(name) or _value_fault(value)
        if fault is None and name.lower() in seen:
            fault = "repeated_header", "Give each header once; names differ in more than upper and lower case."
        seen.add(name.lower())
        if fault is not None:
            yield FieldProblem(pointer=f"/headers/{_escaped(name)}", code=fault[0], message=fault[1])


def _name_fault(name: str) -> tuple[str, str] | None:
    if not _TOKEN.fullmatch(name):
        return "bad_header_name", "A header name is made of letters, digits and hyphens."
    if name.lower() in OWN_HEADERS:
        return "header_not_allowed", "This header is set by the service; leave it out."
    return None


def _value_fault(value: str) -> tuple[str, str] | None:
    if _UNPRINTABLE.search(value):
        return "bad_header_value", "A header value must not contain line breaks or other control characters."
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return "bad_header_value", "A header value can only hold Latin-1 characters; percent-encode the others."
    return None


def _param_problems(request: HttpRequest) -> Iterator[FieldProblem]:
    clean = True
    for name, value in (request.params or {}).items():
        if not _is_utf8(name) or not all(_is_param(one) for one in _each(value)):
            clean = False
            yield FieldProblem(
                pointer=f"/params/{_escaped(name)}",
                code="bad_param",
                message="A parameter is a text, a number, true or false, or a list of these.",
            )
    if clean and request.params and _splits(request.api_url) and len(full_url(request)) > MAX_URL:
        message = f"With its parameters the URL is longer than {MAX_URL} characters; send them in the body."
        yield FieldProblem(pointer="/params", code="url_too_long", message=message)


def _body_problems(request: HttpRequest) -> Iterator[FieldProblem]:
    yield from _form_problems(request)
    if request.json is not UNSET and request.body is not None:
        yield FieldProblem(pointer="/body", code="conflict", message="Give either json or body, not both.")
    if request.body is not None and not _is_utf8(request.body):
        yield FieldProblem(pointer="/body", code="bad_text", message="The body holds characters that are not Unicode.")
    if request.json is UNSET:
        return
    try:
        _as_json(request.json)
    except (TypeError, ValueError, RecursionError):
        message = "This cannot be written as JSON: no NaN, no Infinity, no broken Unicode."
        yield FieldProblem(pointer="/json", code="bad_json", message=message)


def _form_problems(request: HttpRequest) -> Iterator[FieldProblem]:
    if request.form is None:
        return
    if request.json is not UNSET or request.body is not None:
        yield FieldProblem(pointer="/form", code="conflict", message="Give one of json, body and form.")
    for name, value in request.form.items():
        if not _is_utf8(name) or not all(_is_param(one) for one in _each(value)):
            text = "A field of a form is a text, a number, true or false, or a list of these."
            yield FieldProblem(pointer=f"/form/{_escaped(name)}", code="bad_param", message=text)


#: What each type of `auth` needs, and how it must look so that it cannot become another header.
_AUTH: Final = {
    "basic": {"username": re.compile(r"[^:\x00-\x1f\x7f]*"), "password": re.compile(r"[^\x00-\x1f\x7f]*")},
    "bearer": {"token": re.compile(r"[!-~]+")},
}


def _auth_problems(request: HttpRequest) -> Iterator[FieldProblem]:
    auth = request.auth
    if auth is None:
        return
    if any(name.lower() == "authorization" for name in request.headers):
        text = "Give either auth or the header Authorization, not both."
        yield FieldProblem(pointer="/auth", code="conflict", message=text)
    wanted = _AUTH[str(auth["type"])]
    for name in ("username", "password", "token"):
        value = auth.get(name)
        if name not in wanted:
            if value is not None:
                text = f"The type {auth['type']} has no {name}."
                yield FieldProblem(pointer=f"/auth/{name}", code="unknown_field", message=text)
        elif value is None:
            yield FieldProblem(pointer=f"/auth/{name}", code="missing", message="is required.")
        elif not wanted[name].fullmatch(value) or not _is_utf8(value):
            text = "holds characters that cannot be sent."
            yield FieldProblem(pointer=f"/auth/{name}", code="invalid", message=text)


def _as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def _each(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _is_param(value: Any) -> bool:
    if isinstance(value, str):
        return _is_utf8(value)
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_utf8(text: str) -> bool:
    # JSON can spell half a surrogate pair ("\ud800"), which no encoding can carry.
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _splits(url: str) -> bool:
    try:
        urlsplit(url)
    except ValueError:
        return False
    return True


def _escaped(name: str) -> str:
    """As one step of a JSON Pointer (RFC 6901 §3)."""
    return name.replace("~", "~0").replace("/", "~1")
