"""The OpenAPI 3.1 document of an application, made of its routes, what is said beside them, and the shapes."""

from __future__ import annotations

import http
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flask import Flask
from pydantic import TypeAdapter
from werkzeug.routing import Rule

from api.openapi import examples
from api.openapi.operation import Answer, Operation, Parameter, described
from api.openapi.shapes import SHAPES, Problem
from api.openapi.submissions import submissions
from config.settings import USERNAME
from tasks import __version__
from tasks.base_tasks import Kind

REF = "#/components/schemas/{model}"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
#: What every call may be refused with; the codes are those of docs/reference/errors.md.
ALWAYS: Mapping[int, Sequence[str]] = {429: ("rate_limited",), 500: ("internal_error",)}
WITH_BODY: Mapping[int, Sequence[str]] = {
    400: ("malformed_json", "bad_request"),
    413: ("body_too_large",),
    415: ("unsupported_media_type",),
}
#: Headers that answers may have.
HEADERS: Mapping[str, Mapping[str, Any]] = {
    "X-Request-Id": {
        "description": "Names the request in logs and problems; the client's own where it sent one.",
        "schema": {"type": "string"},
    },
    "Location": {"description": "Path of what was made.", "schema": {"type": "string", "format": "uri-reference"}},
    "Link": {"description": 'The next page (RFC 8288): `<…>; rel="next"`.', "schema": {"type": "string"}},
    "ETag": {
        "description": "Names what was read; send it as If-Match with an edit.",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Idempotency-Replayed": {
        "description": "`true` where this is the answer to the first request with the same Idempotency-Key.",
        "schema": {"type": "string", "const": "true"},
    },
    "Preference-Applied": {"description": "What of `Prefer` was followed (RFC 7240).", "schema": {"type": "string"}},
    "RateLimit": {
        "description": "Requests left (`r`) and seconds until all are again (`t`); where RATE_LIMIT is set.",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "Requests (`q`) in so many seconds (`w`); where RATE_LIMIT is set.",
        "schema": {"type": "string"},
    },
    "RateLimit-Limit": {"description": "`q` by itself.", "schema": {"type": "integer", "minimum": 1}},
    "RateLimit-Remaining": {"description": "`r` by itself.", "schema": {"type": "integer", "minimum": 0}},
    "RateLimit-Reset": {"description": "`t` by itself.", "schema": {"type": "integer", "minimum": 0}},
    "WWW-Authenticate": {"description": "How to authenticate: `Bearer`.", "schema": {"type": "string"}},
}
#: What answers to calls that are counted have.
COUNTED = tuple(name for name in HEADERS if name.startswith("RateLimit"))
PATH_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "task_id": {"description": "Id of a task.", "schema": {"type": "string", "format": "uuid"}},
    "username": {"description": "Name of a user.", "schema": {"type": "string", "pattern": USERNAME}},
    "key_id": {"description": "Id of an API key.", "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"}},
    "secret_name": {
        "description": "Name of a secret.",
        "schema": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$"},
    },
    "run_id": {
        "description": "Id of a run: that of its task, a dot and its number.",
        "schema": {"type": "string", "pattern": r"^[0-9a-f-]{36}\.[1-9][0-9]{0,10}$"},
    },
}
IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    where="header",
    description="Names this request: sent again within 24 hours it has no further effect and the same answer.",
    schema={"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-+.-~-]+$"},
    example="8e03978e-40d5-43e8-bc93-6894a57f9324",
)
#: What a call with Idempotency-Key may be refused with besides.
IDEMPOTENT: Mapping[int, Sequence[str]] = {
    400: ("bad_idempotency_key",),
    409: ("idempotency_key_in_use",),
    422: ("idempotency_key_reused",),
    429: ("quota_exceeded",),
}
SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token of POST /api/auth/login, or an API key.",
    },
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key of POST /api/keys."},
}


def paths_of(app: Flask) -> Iterator[tuple[str, str, Rule, Operation | None]]:
    """Every call: its path as OpenAPI writes it, its method, its route, and what is said about it."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        for method in METHODS:
            if method in (rule.methods or ()):
                yield path, method, rule, described(app.view_functions[rule.endpoint])


def document(app: Flask, kinds: Mapping[str, Kind], *, needs_token: bool) -> dict[str, Any]:
    """The document. Raises LookupError where a route has no description."""
    paths: dict[str, Any] = {}
    for path, method, rule, operation in paths_of(app):
        if operation is None:
            raise LookupError(f"{method} {path} has no description: add @describe(...) below its route.")
        paths.setdefault(path, {})[method.lower()] = _operation(operation, rule, needs_token=needs_token)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Task Management System",
            "version": __version__,
            "summary": "Runs Python functions and HTTP calls, now, later or on a schedule.",
            "description": "Unknown fields and parameters are refused. Errors are application/problem+json (RFC 9457).",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": _tags(paths),
        "paths": paths,
        "components": {
            "schemas": _schemas(kinds),
            "headers": dict(HEADERS),
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _tags(paths: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"name": name} for name in dict.fromkeys(op["tags"][0] for path in paths.values() for op in path.values())]


def _operation(operation: Operation, rule: Rule, *, needs_token: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": operation_id(rule),
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*_path_parameters(rule), *(_parameter(each) for each in _parameters(operation))],
        "responses": _responses(operation, rule, needs_token=needs_token),
    }
    if operation.description:
        told["description"] = operation.description
    if not operation.is_open:
        wanted = needs_token or operation.always_needs_token
        told["security"] = [*([] if wanted else [{}]), {"bearer": []}, {"key": []}]
    if operation.body:
        content: dict[str, Any] = {"schema": {"$ref": REF.format(model=operation.body)}}
        if operation.examples:
            content["examples"] = {_slug(title): _example(title, x) for title, x in operation.examples.items()}
        told["requestBody"] = {"required": True, "content": {"application/json": content}}
    return told


def operation_id(rule: Rule) -> str:
    """`tasks_submit` for the view `submit` of the blueprint `tasks`."""
    return str(rule.endpoint).replace(".", "_")


def _slug(title: str) -> str:
    return re.sub(r"\W+", "_", title).strip("_")


def _example(title: str, value: Any) -> dict[str, Any]:
    return {"summary": title, "value": value}


def _path_parameters(rule: Rule) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"<(?:[^:<>]+:)?([^<>]+)>", rule.rule):
        known = PATH_PARAMETERS.get(name, {"description": f"`{name}`.", "schema": {"type": "string"}})
        yield {"name": name, "in": "path", "required": True, **known}


def _parameters(operation: Operation) -> Sequence[Parameter]:
    return (*operation.parameters, IDEMPOTENCY_KEY) if operation.idempotent else operation.parameters


def _parameter(parameter: Parameter) -> dict[str, Any]:
    told: dict[str, Any] = {"name": parameter.name, "in": parameter.where, "description": parameter.description}
    told["schema"] = dict(parameter.schema)
    if parameter.example is not None:
        told["example"] = parameter.example
    return told


def _responses(operation: Operation, rule: Rule, *, needs_token: bool) -> dict[str, Any]:
    counted = COUNTED if not operation.is_open or operation.tag == "auth" else ()
    more = (*(("Idempotency-Replayed",) if operation.idempotent else ()), *counted)
    answers = {str(status): _answer(answer, more) for status, answer in operation.answers.items()}
    found = _problems(operation, rule, needs_token)
    problems = {str(status): _problem(status, codes, counted) for status, codes in found}
    for status, told in problems.items():
        if status in answers:
            answers[status].setdefault("content", {}).update(told["content"])
        else:
            answers[status] = told
    return dict(sorted(answers.items()))


def _answer(answer: Answer, more: Sequence[str]) -> dict[str, Any]:
    headers = _headers("X-Request-Id", *answer.headers, *more)
    told: dict[str, Any] = {"description": answer.description, "headers": headers}
    if answer.shape:
        content: dict[str, Any] = {"schema": {"$ref": REF.format(model=answer.shape)}}
        if answer.example is not None:
            content["example"] = answer.example
        told["content"] = {answer.media_type: content}
    elif answer.media_type != "application/json":
        told["content"] = {answer.media_type: {"schema": {"type": "string"}}}
    if answer.links:
        told["links"] = {
            name: {"operationId": target, "parameters": dict(parameters)}
            for name, (target, parameters) in answer.links.items()
        }
    return told


def _problems(operation: Operation, rule: Rule, needs_token: bool) -> list[tuple[int, Sequence[str]]]:
    found: dict[int, list[str]] = {}

    def add(more: Mapping[int, Sequence[str]]) -> None:
        for status, codes in more.items():
            found.setdefault(status, []).extend(codes)

    add(operation.problems)
    if operation.body:
        add(WITH_BODY)
    if operation.idempotent:
        add(IDEMPOTENT)
    add({422: ("invalid_query",)})
    if "task_id" in rule.arguments:
        add({404: ("task_not_found",)})
    if not operation.is_open and needs_token:
        add({401: ("token_required",), 403: ("role_too_low",)})
    if operation.needs_redis:
        add({503: ("store_unavailable",)})
    add(ALWAYS)
    return sorted(found.items())


def _problem(status: int, codes: Sequence[str], counted: Sequence[str]) -> dict[str, Any]:
    names = [
        *counted,
        *({401: ["WWW-Authenticate"]}.get(status, ())),
        *(["Retry-After"] if status in (429, 503) else ()),
    ]
    return {
        "description": f"{http.HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in dict.fromkeys(codes))}.",
        "headers": _headers("X-Request-Id", *names),
        "content": {
            "application/problem+json": {
                "schema": {"$ref": REF.format(model=Problem.__name__)},
                "example": examples.problem(status, codes[0]),
            }
        },
    }


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _schemas(kinds: Mapping[str, Kind]) -> dict[str, Any]:
    schemas: dict[str, Any] = {}
    for name, shape in SHAPES.items():
        schema = TypeAdapter(shape).json_schema(ref_template=REF, mode="serialization")
        schemas.update(schema.pop("$defs", {}))
        schemas[name] = schema
    shapes, definitions = submissions(kinds, REF)
    schemas.update({**definitions, **shapes})
    schemas["Batch"]["properties"]["tasks"]["items"] = {"$ref": REF.format(model="Submission")}
    for kind in kinds.values():
        spec = kind.Spec.model_json_schema(ref_template=REF, by_alias=True, mode="serialization")
        schemas.update(spec.pop("$defs", {}))
        schemas["Task"]["properties"].update(spec["properties"])
    return {name: _without_titles(schemas[name]) for name in sorted(schemas)}


def _without_titles(value: Any) -> Any:
    """Without the titles that pydantic makes of names; a field called `title` is an object and stays."""
    if isinstance(value, dict):
        return {k: _without_titles(v) for k, v in value.items() if k != "title" or not isinstance(v, str)}
    return [_without_titles(each) for each in value] if isinstance(value, list) else value
