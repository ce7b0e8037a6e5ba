"""What is said to clients whose request does not come to the application: the same kind of problem as everywhere."""

from __future__ import annotations

import http
import json
import uuid
from email.utils import formatdate

from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)

from api.browser import HEADERS

CODES = {
    408: "request_timeout",
    413: "body_too_large",
    414: "uri_too_long",
    417: "expectation_failed",
    431: "headers_too_large",
    500: "internal_error",
    505: "http_version_not_supported",
}
#: What gunicorn cannot read, where it is not simply a bad request.
UNREADABLE = {LimitRequestLine: 414, ExpectationFailed: 417, LimitRequestHeaders: 431}
#: What gunicorn cannot send, for our own sake.
OUR_FAULT = frozenset({"InvalidResponseHeader", "InvalidResponseHeaderName"})


def status_of(error: BaseException) -> int:
    """The status for what gunicorn cannot read or send; 500 where the fault is ours."""
    if not isinstance(error, ParseException) or type(error).__name__ in OUR_FAULT:
        return 500
    return next((status for kind, status in UNREADABLE.items() if isinstance(error, kind)), 400)


def problem(status: int, detail: str = "") -> bytes:
    """The whole answer, after which the connection is closed."""
    code = CODES.get(status, "bad_request")
    phrase = http.HTTPStatus(status).phrase
    name = uuid.uuid4().hex
    told = {"type": f"urn:tms:problem:{code}", "title": phrase, "status": status, "detail": detail or f"{phrase}."}
    body = json.dumps({**told, "code": code, "request_id": name}).encode()
    headers = {
        "Date": formatdate(usegmt=True),
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        "X-Request-Id": name,
        **HEADERS,
    }
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{header}: {value}" for header, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
