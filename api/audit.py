"""/api/audit, and how it is written: every change and every refusal, who, what, from where; never a secret."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence

from flask import Blueprint, Flask, Response, g, jsonify, request

from api import body
from api.openapi import Answer, Operation, Parameter, describe
from api.parameters import LIMIT
from api.users import only_admins
from config.settings import Settings
from tasks.errors import StoreUnavailable
from tasks.model import Task
from tasks.moment import show
from tasks.principal import Principal
from tasks.store.accounts import Accounts

log = logging.getLogger(__name__)

READING = frozenset({"GET", "HEAD", "OPTIONS"})
#: Refusals that are noted besides changes: 401, 403, 429.
REFUSALS = frozenset({401, 403, 429})
_CURSOR = re.compile(r"[1-9]\d{0,14}-\d{1,12}")
PAGE = (
    LIMIT,
    Parameter(
        name="cursor",
        description="`next_cursor` of the page before.",
        schema={"type": "string", "pattern": r"^[1-9][0-9]{0,14}-[0-9]{1,12}$"},
    ),
)


def about(name: str) -> None:
    """Say what the request is about, where its path does not."""
    g.audit_target = name


def account(tasks: Sequence[Task]) -> Mapping[str, str]:
    """What a verb that stores tasks is given, so that the entry is written in the step that stores them."""
    g.accounted = True
    return _entry(201, tasks[0].id if len(tasks) == 1 else "")


def register(app: Flask, accounts: Accounts, settings: Settings) -> None:
    """Note every request that changes something and every one that is refused, whichever view had it."""

    def note(response: Response) -> Response:
        changed = request.method not in READING and response.status_code < 400
        if (changed and "accounted" not in g) or response.status_code in REFUSALS:
            noted = _entry(response.status_code, response.headers.get("Location", "").rpartition("/")[2])
            try:
                accounts.note(noted, keep=settings.audit_length)
            except StoreUnavailable:
                log.error("not in the audit log, for Redis is away: %s", noted)
        return response

    app.after_request(note)


def blueprint(accounts: Accounts) -> Blueprint:
    """The routes."""
    routes = Blueprint("audit", __name__, url_prefix="/api/audit")
    routes.before_request(only_admins)

    @routes.get("")
    @describe(
        Operation(
            summary="Who did what",
            tag="audit",
            description="Newest first: every change, and every request that was refused with 401, 403 or 429.",
            parameters=PAGE,
            answers={200: Answer(description="A page.", shape="AuditPage")},
            problems={403: ("role_too_low",)},
        )
    )
    def listing() -> Response:
        query = body.Query(PAGE)
        limit, cursor = query.limit(), query.form("cursor", _CURSOR)
        query.check()
        found, following = accounts.audit(limit=limit, before=cursor)
        entries = [
            {**each, "at": show(int(each["id"].partition("-")[0])), "status": int(each["status"])} for each in found
        ]
        return jsonify({"entries": entries, "next_cursor": following})

    return routes


def _entry(status: int, made: str) -> dict[str, str]:
    return entry(
        g.get("principal"),
        what=f"{request.method} {request.url_rule.rule if request.url_rule else '(no such path)'}",
        target=_target(made),
        status=status,
        address=request.remote_addr or "",
        request_id=g.get("request_id", ""),
    )


def entry(
    who: Principal | None, *, what: str, target: str, status: int, address: str, request_id: str
) -> dict[str, str]:
    """An entry as it is kept."""
    return {
        "who": who.name if who else "",
        "role": who.role if who else "",
        "key": who.key or "" if who else "",
        "what": what,
        "target": target,
        "status": str(status),
        "from": address,
        "request_id": request_id,
    }


def _target(made: str) -> str:
    """What was changed: as a view said, else what the path names, else what was made."""
    named = "/".join(str(value) for value in (request.view_args or {}).values())
    told = g.get("audit_target") or named or made
    return "".join(character if character.isprintable() else "?" for character in told)[:200]
