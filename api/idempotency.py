"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a POST that is sent again has its effect once.

An operation that is described as `idempotent` takes the header. Its receipt (tasks/store/receipts.py) is opened before
the view and closed with the answer; a view that stores tasks gives `promise(...)` to its verb, so that the answer is
kept in the step that stores them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from flask import Flask, Response, current_app, g, request

from api.errors import BadRequest
from api.openapi import described
from tasks.errors import ReceiptTaken, StoreUnavailable
from tasks.intake import Promise
from tasks.model import Task
from tasks.store import Busy, Kept, Receipt, Reused
from tasks.task_manager import TaskManager

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
#: As a string of RFC 9651 without escapes, or bare; a comma outside quotation marks is where two headers were joined.
KEY = re.compile(r'"([ !#-~]{1,255})"|([!#-+.-~-]{1,255})')
#: Headers of an answer that are given again with it.
KEPT_HEADERS = ("Content-Type", "Location", "ETag", "Preference-Applied")


def register(app: Flask, manager: TaskManager) -> None:
    """Take the header where the operation is described as idempotent."""

    def begin() -> Response | None:
        operation = described(current_app.view_functions.get(request.endpoint or "", _nothing))
        if request.method != "POST" or operation is None or not operation.idempotent or HEADER not in request.headers:
            return None
        return _opened(manager.open_receipt(_key(), fingerprint=_fingerprint(), token=uuid.uuid4().hex))

    def end(response: Response) -> Response:
        held: Receipt | None = g.pop("receipt", None)
        operation = described(current_app.view_functions.get(request.endpoint or "", _nothing))
        answer = None if held is None else _kept(response)
        if held is not None and answer is not None:
            # Where this fails the next try finds the answer, if tasks were stored, or a receipt whose lease runs out.
            with contextlib.suppress(StoreUnavailable):
                manager.close_receipt(held, answer, sealed=operation is not None and operation.confidential)
        return response

    app.before_request(begin)
    app.after_request(end)


def _opened(found: Receipt | Busy | Kept | Reused) -> Response | None:
    if isinstance(found, Receipt):
        g.receipt = found
        return None
    if isinstance(found, Kept):
        return _again(found.answer)
    if isinstance(found, Busy):
        error = ReceiptTaken(f"A request with this {HEADER} is being done; ask again for its answer.")
        error.retry_after = math.ceil(found.left / 1000)
        raise error
    text = f"This {HEADER} came with another request before; a new request needs a new key."
    raise BadRequest(422, "idempotency_key_reused", text)


def _kept(response: Response) -> str | None:
    """What the receipt is to hold: the answer, nothing ('') so that it is forgotten, or what it holds now (None)."""
    if response.status_code < 300 and not response.is_streamed:
        answer = _told(response)
        return None if answer == g.get("promised") else answer
    # After a fault of ours nobody knows whether the promised answer was stored; any other refusal stored nothing.
    return None if response.status_code >= 500 and "promised" in g else ""


def receipt() -> Receipt | None:
    """The open receipt of this request; None where no key was sent."""
    found: Receipt | None = g.get("receipt")
    return found


def promise(answer: Callable[[Sequence[Task]], Response]) -> Promise | None:
    """What a verb that stores tasks is given, `answer` making the response; None where no key was sent."""
    held = receipt()
    if held is None:
        return None

    def told(tasks: Sequence[Task]) -> str:
        g.promised = _told(answer(tasks))
        return str(g.promised)

    return Promise(receipt=held, answer=told)


def _nothing() -> None:
    """Stands for a view where the path leads nowhere."""


def _key() -> str:
    found = KEY.fullmatch(request.headers[HEADER].strip())
    if found is None:
        text = (
            f"{HEADER} must be given once, with 1 to 255 ASCII characters; commas and spaces in quotation marks only."
        )
        raise BadRequest(400, "bad_idempotency_key", text)
    return found[1] or found[2]


def _fingerprint() -> str:
    """Names what is asked for: the same JSON written in another way is the same request."""
    raw = request.get_data()
    with contextlib.suppress(ValueError, RecursionError):
        raw = json.dumps(json.loads(raw), sort_keys=True).encode()
    said = (request.method, request.path, request.query_string.decode("latin-1"))
    return hashlib.sha256("\n".join(said).encode() + b"\n" + raw).hexdigest()


def _told(response: Response) -> str:
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    return json.dumps([response.status_code, headers, response.get_data(as_text=True)], ensure_ascii=False)


def _again(answer: str) -> Response:
    told: Any = json.loads(answer)
    status, headers, text = told
    response = Response(text, status)
    response.headers.update(headers)
    response.headers[REPLAYED] = "true"
    return response
