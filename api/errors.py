"""The one table from errors to HTTP statuses, and how they are told (RFC 9457)."""

from __future__ import annotations

import http
import logging
from collections.abc import Sequence
from typing import Any

from flask import Flask, Response, g, json, request
from werkzeug.exceptions import HTTPException

from access import errors as accounts
from tasks import errors
from tasks.errors import FieldProblem

log = logging.getLogger(__name__)

STATUSES: dict[type[errors.ServiceError], int] = {
    errors.InvalidTask: 422,
    errors.TaskNotFound: 404,
    errors.SecretNotFound: 404,
    errors.CallbackNotFound: 404,
    errors.RunNotFound: 404,
    errors.IllegalMove: 409,
    errors.TaskChanged: 412,
    errors.ReceiptTaken: 409,
    errors.NotAllowed: 401,
    errors.Forbidden: 403,
    errors.TooMuch: 429,
    errors.StoreUnavailable: 503,
    accounts.AccountNotFound: 404,
    accounts.AccountConflict: 409,
    accounts.InvalidAccount: 422,
}
#: Seconds after which a client may try again while Redis is away.
RETRY_AFTER = 2
#: Codes and sentences for what Flask itself refuses.
HTTP_CODES: dict[int, tuple[str, str]] = {
    400: ("bad_request", "The request cannot be read."),
    404: ("path_not_found", "There is nothing at this path; see /api/docs. No path ends with a slash."),
    405: ("method_not_allowed", "This path does not take this method; the Allow header lists those it does."),
    413: ("body_too_large", "The body is larger than this service accepts (the setting MAX_BODY_BYTES)."),
    415: ("unsupported_media_type", "Send JSON, with the header Content-Type: application/json."),
}


class BadRequest(errors.ServiceError):
    """The request itself is wrong, before it says anything about a task; `status` is its HTTP status."""

    def __init__(self, status: int, code: str, message: str, problems: tuple[FieldProblem, ...] = ()) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.problems = problems


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    problems: tuple[FieldProblem, ...] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """A response of type application/problem+json."""
    body: dict[str, Any] = {
        "type": f"urn:tms:problem:{code}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": g.get("request_id"),
    }
    if problems:
        body["errors"] = faults(problems)
    response = Response(json.dumps(body), status, content_type="application/problem+json")
    response.headers.update(headers or {})
    return response


def register(app: Flask) -> None:
    """Answer every error of `app` by the table."""
    app.register_error_handler(errors.ServiceError, _service_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def faults(problems: Sequence[FieldProblem]) -> list[dict[str, Any]]:
    """Wrong fields as they are shown, at most MOST_TOLD of them."""
    return [_shown(each) for each in problems[: errors.MOST_TOLD]]


def _shown(each: FieldProblem) -> dict[str, Any]:
    shown: dict[str, Any] = {"pointer": each.pointer, "code": each.code, "message": each.message}
    if each.line is not None:
        shown["line"] = each.line
    if each.column is not None:
        shown["column"] = each.column
    if each.index is not None:
        shown["index"] = each.index
    return shown


def status_of(error: type[errors.ServiceError]) -> int:
    """The HTTP status of a sort of error, or of the nearest one above it in the tree. Raises KeyError."""
    for each in error.__mro__:
        if each in STATUSES:
            return STATUSES[each]
    raise KeyError(error.__name__)


def _service_error(error: errors.ServiceError) -> Response:
    status = error.status if isinstance(error, BadRequest) else status_of(type(error))
    headers = {}
    if isinstance(error, errors.StoreUnavailable):
        log.error("%s %s: %s", request.method, request.path, error.message)
        headers["Retry-After"] = str(RETRY_AFTER)
    if isinstance(error, errors.TooMuch | errors.ReceiptTaken) and error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if status == http.HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    problems = error.problems if isinstance(error, errors.InvalidTask | accounts.InvalidAccount | BadRequest) else ()
    return problem(status, error.code, error.message, problems=problems, headers=headers)


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    code, detail = HTTP_CODES.get(status, (http.HTTPStatus(status).name.lower(), http.HTTPStatus(status).phrase))
    kept = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After", "Location")}
    return problem(status, code, detail, headers=kept)


def _unexpected(error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(500, "internal_error", "The service failed at this; its log tells why, under this request_id.")
