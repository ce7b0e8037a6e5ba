"""What may be submitted, as JSON Schema: one object for each kind of work and each way to say when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tasks.base_tasks import Kind
from tasks.model import TaskType
from tasks.submission import TIMING, Submission

Schema = dict[str, Any]

#: For each type of task, the fields of which one must be there. Several rows: one way to say when for each.
WAYS: tuple[tuple[TaskType, str | None], ...] = (
    (TaskType.IMMEDIATE, None),
    (TaskType.DELAYED, "delay_seconds"),
    (TaskType.DELAYED, "run_at"),
    (TaskType.SCHEDULED, "cron_expression"),
)
#: Where a field of a model is stricter or laxer than pydantic can tell.
MORE: Mapping[str, Schema] = {
    "run_at": {"format": "date-time"},
    "start_at": {"format": "date-time"},
    "end_at": {"format": "date-time"},
}


#: What the fields mean that every kind has; those of a kind say it in its Spec.
MEANINGS: Mapping[str, str] = {
    "name": "What people call it; no control characters.",
    "task_type": "When it is to be done: at once, once later, or again and again.",
    "delay_seconds": "So long after it was stored; either this or `run_at`.",
    "run_at": "At this moment, with its offset; either this or `delay_seconds`.",
    "cron_expression": "5 fields, 6 with seconds first, or @hourly and its like.",
    "timezone": "IANA name of the zone whose clock the expression is read on; UTC where it is not said.",
    "start_at": "No run before this moment.",
    "end_at": "No run after this moment.",
    "max_runs": "How many runs there are in all.",
    "overlap": "What a run does that is due while another is in progress; `skip` where it is not said.",
    "misfire": "What becomes of runs that nobody fired in time; `once` for all of them where it is not said.",
    "misfire_limit": "At most so many under `all`; 10 where it is not said.",
    "timeout": "Seconds an attempt may take, at most TASK_TIMEOUT; that for code and 30 for HTTP where it is not said.",
    "retry": "When a failed attempt is tried again; never where it is not said.",
    "expires_in": "Seconds after its due time at which a run that has not started is given up.",
    "tags": "Words to find it by.",
    "priority": "`high` goes before all `normal` ones that wait.",
}


def submissions(kinds: Mapping[str, Kind], template: str) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """The shapes of submissions by name, `Submission` being any of them; and the `$defs` that they refer to."""
    base = Submission.model_json_schema(ref_template=template)
    definitions = base.pop("$defs", {})
    shapes: dict[str, Schema] = {}
    for kind in kinds.values():
        spec = kind.Spec.model_json_schema(ref_template=template, by_alias=True)
        definitions.update(spec.pop("$defs", {}))
        for task_type, way in WAYS:
            name = _name(kind.name, task_type, way)
            shapes[name] = _one(base, spec, task_type, way, f"A task of kind `{kind.name}`, {task_type}.")
    shapes["Submission"] = {
        "description": "A task to be stored: exactly one kind of work, and when it is to be done.",
        "anyOf": [{"$ref": template.format(model=name)} for name in shapes],
    }
    shapes["TaskEdit"] = _edit(base, [kind.Spec.model_json_schema(ref_template=template) for kind in kinds.values()])
    return shapes, definitions


def _edit(base: Schema, specs: Iterable[Schema]) -> Schema:
    """Any of the fields; null takes one back to its default."""
    fields = {name: dict(_field(name, schema)) for name, schema in base["properties"].items() if name != "task_type"}
    for spec in specs:
        fields.update({name: dict(_plain(schema)) for name, schema in spec["properties"].items()})
    return {
        "type": "object",
        "description": "The fields to change. Each replaces the old value; null takes it back to its default.",
        "properties": {name: _or_null(schema) for name, schema in fields.items()},
        "additionalProperties": False,
    }


def _or_null(schema: Schema) -> Schema:
    if {"type": "null"} in schema.get("anyOf", ()):
        return schema
    told = {key: value for key, value in schema.items() if key in ("description", "default")}
    return {**told, "anyOf": [{k: v for k, v in schema.items() if k not in told}, {"type": "null"}]}


def _name(kind: str, task_type: TaskType, way: str | None) -> str:
    words = ("Submit", task_type, "at" if way == "run_at" else "", kind)
    return "".join(word.capitalize() for word in words)


def _one(base: Schema, spec: Schema, task_type: TaskType, way: str | None, title: str) -> Schema:
    wanted = {way} if way and task_type is TaskType.DELAYED else set(TIMING[task_type])
    left_out = {name for names in TIMING.values() for name in names} - wanted
    fields = {name: dict(_field(name, schema)) for name, schema in base["properties"].items() if name not in left_out}
    fields["task_type"] = {"type": "string", "const": str(task_type), "description": MEANINGS["task_type"]}
    if way:
        fields[way] = _without_null(fields[way])
    properties = {**fields, **{name: dict(_plain(schema)) for name, schema in spec["properties"].items()}}
    needed = [*base["required"], *([way] if way else []), *spec.get("required", [])]
    return {
        "type": "object",
        "description": title,
        "properties": {name: field if name in needed else _or_null(field) for name, field in properties.items()},
        "patternProperties": {f"^({'|'.join(sorted(left_out))})$": {"type": "null"}},
        "required": needed,
        "additionalProperties": False,
    }


def _field(name: str, schema: Schema) -> Iterator[tuple[str, Any]]:
    schema = dict(_plain(schema))
    for branch in schema.get("anyOf", [schema]):
        if branch.get("type") == "string":
            branch.update(MORE.get(name, {}))
    if name in MEANINGS:
        schema["description"] = MEANINGS[name]
    yield from schema.items()


def _plain(schema: Schema) -> Iterator[tuple[str, Any]]:
    """Without the titles that pydantic makes of names."""
    for key, value in schema.items():
        if key == "anyOf":
            yield key, [dict(branch) for branch in value]
        elif key != "title":
            yield key, value


def _without_null(schema: Schema) -> Schema:
    branches = [branch for branch in schema.get("anyOf", ()) if branch.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    return {**rest, **branches[0]} if len(branches) == 1 else schema
