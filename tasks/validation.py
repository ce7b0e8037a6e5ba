"""What is wrong with submitted fields: pydantic's findings as problems that a person can read."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.errors import MOST_TOLD, FieldProblem

Model = TypeVar("Model", bound=BaseModel)


class Fields(BaseModel):
    """Base of what is read from a body: exact types, no unknown names."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


@cache
def names_of(model: type[BaseModel]) -> frozenset[str]:
    """The names under which a model's fields are submitted."""
    return frozenset({field.alias or name for name, field in model.model_fields.items()})


def unknown_fields(body: Mapping[str, Any], known: Collection[str]) -> Iterator[FieldProblem]:
    """A problem for each field that is not known, with the nearest name that is."""
    for number, name in enumerate(name for name in body if name not in known):
        # Looking for the nearest name is slow, and what is beyond MOST_TOLD is not told.
        hint = _nearest(name, known) if number < MOST_TOLD else ""
        yield _problem(f"/{_escape(name[:100])}", "unknown_field", f"There is no such field.{hint}")


def validated(model: type[Model], fields: Mapping[str, Any], problems: list[FieldProblem]) -> Model | None:
    """`fields` as a model; None, and what is wrong with them added to `problems`, where they are not valid."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        problems.extend(_explained(error, model))
        return None


def without_bad(
    model: type[Model], fields: Mapping[str, Any], problems: Sequence[FieldProblem], **otherwise: Any
) -> Model | None:
    """The fields that no problem is about, so that what depends on them is checked in the same answer.

    `otherwise` stands in for needed fields that are bad; None where another needed one is.
    """
    bad = {problem.pointer.split("/")[1] for problem in problems if problem.pointer}
    try:
        return model.model_validate({**otherwise, **{k: v for k, v in fields.items() if k not in bad}})
    except ValidationError:
        return None


#: Sentences for the commonest faults; pydantic's own words serve for the rest.
SENTENCES = {
    "missing": "is required.",
    "extra_forbidden": "There is no such field.",
    "string_type": "must be a string.",
    "int_type": "must be a whole number.",
    "int_from_float": "must be a whole number.",
    "float_type": "must be a number.",
    "bool_type": "must be true or false.",
    "list_type": "must be a list.",
    "dict_type": "must be an object.",
    "model_type": "must be an object.",
    "finite_number": "must be a finite number.",
    "greater_than": "must be greater than {gt:g}.",
    "greater_than_equal": "must be at least {ge:g}.",
    "less_than": "must be less than {lt:g}.",
    "less_than_equal": "must be at most {le:g}.",
    "string_too_short": "must not be empty.",
    "string_too_long": "must be at most {max_length} characters.",
    "too_short": "must have at least {min_length} entry.",
    "too_long": "must have at most {max_length} entries.",
    "enum": "must be one of {expected}.",
    "literal_error": "must be one of {expected}.",
    "string_pattern_mismatch": "does not have the form of a valid value ({pattern}).",
}


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name[:100], known, 1)
    return f" Did you mean `{near[0]}`?" if near else ""


def _explained(error: ValidationError, model: type[BaseModel]) -> Iterator[FieldProblem]:
    told = set()
    for fault in error.errors(include_url=False, include_input=False):
        # A union reports each branch, with the branch's name in `loc`; the first tells enough.
        place = [part for part in fault["loc"] if isinstance(part, int) or part in _plain(fault["loc"])]
        pointer = "".join(f"/{_escape(str(part)[:100])}" for part in place)
        if pointer in told:
            continue
        told.add(pointer)
        sentence = SENTENCES.get(fault["type"])
        text = sentence.format(**fault.get("ctx", {})) if sentence else f"{fault['msg'].removeprefix('Value error, ')}."
        if fault["type"] == "extra_forbidden":
            text += _nearest(str(place[-1]), _fields_at(model, place[:-1]))
        yield _problem(pointer, _code(fault["type"]), text)


def _fields_at(model: type[BaseModel], place: Sequence[int | str]) -> frozenset[str]:
    """Names of the fields of the object that stands at `place` in a model; none where that is no model."""
    found: type[BaseModel] | None = model
    for part in place:
        field = found.model_fields.get(str(part)) if found else None
        inner = (field.annotation, *get_args(field.annotation)) if field else ()
        found = next((each for each in inner if isinstance(each, type) and issubclass(each, BaseModel)), None)
    return names_of(found) if found else frozenset()


def _plain(place: Sequence[int | str]) -> set[int | str]:
    return {part for part in place if not (isinstance(part, str) and (part in UNION_BRANCHES or "[" in part))}


UNION_BRANCHES = frozenset({"str", "int", "float", "bool", "constrained-str", "constrained-int"})
CODES: Mapping[str, Literal["missing", "unknown_field", "wrong_type", "too_large", "too_small", "invalid"]] = {
    "missing": "missing",
    "extra_forbidden": "unknown_field",
    "too_short": "too_small",
    "greater_than": "too_small",
    "greater_than_equal": "too_small",
    "string_too_short": "too_small",
    "less_than": "too_large",
    "less_than_equal": "too_large",
    "string_too_long": "too_large",
    "too_long": "too_large",
}


def _code(fault: str) -> str:
    return "wrong_type" if fault.endswith(("_type", "from_float")) else CODES.get(fault, "invalid")


def _problem(pointer: str, code: str, message: str) -> FieldProblem:
    return FieldProblem(pointer=pointer, code=code, message=message)


def _escape(part: str) -> str:
    """A reference token of a JSON Pointer (RFC 6901 §3)."""
    return part.replace("~", "~0").replace("/", "~1")
