"""The part of docs/reference/api.md that is made from the OpenAPI document: every call, and every field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]
PROBLEM = "application/problem+json"
SHAPE = "#/components/schemas/"
#: Shapes of one submission each; they have one table together.
SUBMIT = "Submit"
INTRODUCTION = """\
## Every call

<!-- From here on written by `python -m docs.generate` from the API's own description; change it there. -->

Made from [`/api/openapi.json`](#get-apiopenapijson), as it is where tokens are wanted. Every answer has the header
`X-Request-Id`; problems have the form of [Problem](#shape-problem), those of 401 the header `WWW-Authenticate`, those
of 429 and 503 `Retry-After`; their codes are [explained](errors.md). Where [requests are counted](../howto/limit.md),
which they are not for calls that are open to everybody but those of `/api/auth`, answers have the `RateLimit` headers.
"""


def reference(document: Mapping[str, Any]) -> str:
    """The calls and shapes of an OpenAPI document, as Markdown."""
    calls = [
        _call(path, method, operation)
        for path, verbs in document["paths"].items()
        for method, operation in verbs.items()
    ]
    schemas: Mapping[str, Schema] = document["components"]["schemas"]
    shapes = ["## Every shape\n", _submission(schemas)]
    shapes += [_shape(name, schema) for name, schema in schemas.items() if not name.startswith(("Submission", SUBMIT))]
    return "\n".join([INTRODUCTION, *calls, *shapes])


# --- calls -------------------------------------------------------------------------------------------------------


def _call(path: str, method: str, operation: Mapping[str, Any]) -> str:
    parts = [f"### Call {method.upper()} {path}\n", f"{operation['summary']}. {_flat(operation)}".strip() + "\n"]
    if not operation.get("security"):
        parts.append("Open to everybody.\n")
    if body := operation.get("requestBody"):
        parts.append(f"Body: {_type(body['content']['application/json']['schema'])}.\n")
    if parameters := operation["parameters"]:
        parts += ["| Parameter | In | Type | Default | Limits | Means |", "|---|---|---|---|---|---|"]
        parts += [_parameter(each) for each in parameters]
        parts.append("")
    answers: Mapping[str, Any] = operation["responses"]
    parts += ["| Answer | Body | Headers | Means |", "|---|---|---|---|"]
    parts += [_answer(status, answer) for status, answer in answers.items() if not _is_problem(answer)]
    problems = [_problem(status, answer) for status, answer in answers.items() if PROBLEM in _bodies(answer)]
    return "\n".join([*parts, "", f"Problems: {' · '.join(problems)}.", ""])


def _goes_without_saying(header: str) -> bool:
    """Whether the introduction tells of it once for all."""
    return header == "X-Request-Id" or header.startswith("RateLimit")


def _bodies(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    return dict(answer.get("content", {}))


def _is_problem(answer: Mapping[str, Any]) -> bool:
    return set(_bodies(answer)) == {PROBLEM}


def _problem(status: str, answer: Mapping[str, Any]) -> str:
    known = _bodies(answer)[PROBLEM]
    codes = re.findall(r"`(\w+)`", answer["description"]) if _is_problem(answer) else [known["example"]["code"]]
    headers = {"401": {"WWW-Authenticate"}, "429": {"Retry-After"}, "503": {"Retry-After"}}.get(status, set())
    told = {name for name in answer["headers"] if not _goes_without_saying(name)}
    if _is_problem(answer) and told != headers:
        raise LookupError(f"headers of {status} that the introduction does not tell: {told}")
    return f"{status} {', '.join(f'`{code}`' for code in codes)}"


def _flat(told: Mapping[str, Any]) -> str:
    """A description as one line, safe within a table."""
    lines = str(told.get("description", "")).strip().splitlines()
    return " ".join(line.strip().removeprefix("- ") for line in lines if line.strip()).replace("|", "\\|")


def _parameter(parameter: Mapping[str, Any]) -> str:
    schema = parameter["schema"]
    default = "needed" if parameter.get("required") else _default(schema, required=False)
    name = f"`{parameter['name']}`"
    return f"| {name} | {parameter['in']} | {_type(schema)} | {default} | {_limits(schema)} | {_flat(parameter)} |"


def _answer(status: str, answer: Mapping[str, Any]) -> str:
    bodies = [
        _type(content["schema"]) if "$ref" in content["schema"] else f"`{kind}`"
        for kind, content in answer.get("content", {}).items()
        if kind != PROBLEM
    ]
    headers = [f"`{name}`" for name in answer["headers"] if not _goes_without_saying(name)]
    return f"| {status} | {' or '.join(dict.fromkeys(bodies))} | {', '.join(headers)} | {_flat(answer)} |"


# --- shapes ------------------------------------------------------------------------------------------------------


def _shape(name: str, schema: Schema) -> str:
    parts = [f"### Shape {name}\n"]
    if "description" in schema:
        parts.append(f"{_flat(schema)}\n")
    if "enum" in schema:
        parts.append(f"One of {_words(schema['enum'])}.\n")
    fields = schema.get("properties", {})
    if fields:
        needed = schema.get("required", ())
        parts += ["| Field | Type | Default | Limits | Means |", "|---|---|---|---|---|"]
        parts += [_field(field, each, required=field in needed) for field, each in fields.items()]
        parts.append("")
    return "\n".join(parts)


def _field(name: str, schema: Schema, *, required: bool, of: str = "") -> str:
    kind = _type(schema).removesuffix(" or null") if of else _type(schema)
    cells = (f"`{name}`", kind, _default(schema, required=required), _limits(schema), _flat(schema))
    return f"| {' | '.join((*cells, of) if of else cells)} |"


def _submission(schemas: Mapping[str, Schema]) -> str:
    """One table for all that can be submitted, for the many shapes differ in who has which field."""
    several = {name: schema for name, schema in schemas.items() if name.startswith(SUBMIT) and name != "Submission"}
    fields: dict[str, Schema] = {}
    for schema in several.values():
        for name, each in schema["properties"].items():
            fields.setdefault(name, each)
    fields["task_type"] = {**fields["task_type"], "enum": schemas["TaskType"]["enum"]}
    parts = [
        "### Shape Submission\n",
        f"{_flat(schemas['Submission'])} Null is the same as leaving a field out that is not needed.\n",
        "| Field | Type | Default | Limits | Means | Of |",
        "|---|---|---|---|---|---|",
    ]
    for name, schema in fields.items():
        having = [shape for shape in several if name in several[shape]["properties"]]
        required = all(name in several[shape]["required"] for shape in having)
        parts.append(_field(name, schema, required=required, of=_whose(having, list(several))))
    return "\n".join([*parts, ""])


def _whose(having: Sequence[str], all_shapes: Sequence[str]) -> str:
    """What the shapes that have a field have in common, in words: their kind or their type of task."""
    if len(having) == len(all_shapes):
        return "all"
    for word in ("Code", "Http", "DelayedAt", "Delayed", "Scheduled", "Immediate"):
        if all(word in name for name in having) and sum(word in name for name in all_shapes) in (len(having), 4):
            return {"Code": "`code`", "Http": "`http`", "DelayedAt": "`delayed`"}.get(word, f"`{word.lower()}`")
    return ", ".join(having)


# --- one schema in a cell ----------------------------------------------------------------------------------------


def _type(schema: Schema) -> str:
    if reference := schema.get("$ref"):
        name = str(reference).removeprefix(SHAPE)
        return f"[{name}](#shape-{name.lower()})"
    if branches := schema.get("anyOf"):
        return " or ".join(dict.fromkeys(_type(each) for each in branches))
    if "enum" in schema:
        return _words(schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    plain = {"array": _list, "object": _object}.get(str(schema.get("type")))
    if plain is not None:
        return plain(schema)
    return {"string": str(schema.get("format", "text")), "boolean": "true or false", "integer": "whole number"}.get(
        str(schema.get("type")), str(schema.get("type", "any"))
    )


def _list(schema: Schema) -> str:
    return f"list of {_type(schema.get('items', {}))}"


def _object(schema: Schema) -> str:
    inner = schema.get("additionalProperties")
    return f"object of {_type(inner)}" if isinstance(inner, dict) and inner else "object"


def _words(values: Sequence[Any]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _default(schema: Schema, *, required: bool) -> str:
    if required:
        return "needed"
    return f"`{json.dumps(schema['default'])}`" if schema.get("default") is not None else ""


#: Bounds in words, of the value itself and of what it holds.
BOUNDS = (
    ("minimum", "at least {:,}"),
    ("exclusiveMinimum", "more than {:,}"),
    ("maximum", "at most {:,}"),
    ("maxLength", "at most {:,} characters"),
    ("minItems", "at least {:,} entries"),
    ("maxItems", "at most {:,} entries"),
    ("maxProperties", "at most {:,} names"),
)


def _limits(schema: Schema) -> str:
    return "; ".join(dict.fromkeys(_bounds(schema)))


def _bounds(schema: Schema) -> Iterator[str]:
    for name, text in BOUNDS:
        if name in schema:
            yield text.format(schema[name])
    if least := schema.get("minLength"):
        yield f"at least {least:,} characters" if least > 1 else "not empty"
    if "pattern" in schema:
        yield f"`{schema['pattern']}`".replace("|", "\\|")
    for branch in schema.get("anyOf", ()):
        yield from _bounds(branch)
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from (bound if bound.startswith("each ") else f"each {bound}" for bound in _bounds(inner))
