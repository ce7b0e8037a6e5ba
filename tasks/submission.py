"""From what a user submits to a Task, or to every reason why not."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from config.settings import Settings
from tasks import confidential, identifier, moment
from tasks.base_tasks import Kind
from tasks.errors import MOST_TOLD, FieldProblem, InvalidTask
from tasks.model import Priority, Retry, Status, Task, TaskType
from tasks.schedule import Cron, InvalidSchedule, Misfire, Overlap, parse_cron

Model = TypeVar("Model", bound=BaseModel)

#: Ten years: what is due later is a mistake.
FURTHEST = 315_360_000
#: Seconds by which a `run_at` may lie in the past, for clocks that differ.
TOLERANCE = 60


def _visible(text: str) -> str:
    if not text.strip() or any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("must hold visible characters and no control characters")
    return text


def _moment_text(value: Any) -> Any:
    if isinstance(value, str):
        moment.parse(value)
    return value


def _as_typed(number: float) -> float:
    return int(number) if number.is_integer() else number


MomentText = Annotated[str, BeforeValidator(_moment_text)]
Seconds = Annotated[float, Field(gt=0, le=FURTHEST, allow_inf_nan=False), AfterValidator(_as_typed)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_visible)]
ErrorCode = Annotated[str, StringConstraints(pattern=r"^([a-z][a-z_]{1,40}|[1-5]\d\d|[1-5]xx)$")]


class Fields(BaseModel):
    """Base of what is read from a body: exact types, no unknown names."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class RetryFields(Fields):
    """When a failed attempt is tried again."""

    max: int = Field(ge=0, le=100, description="Attempts after the first.")
    backoff: float = Field(default=1.0, ge=0, le=86_400, allow_inf_nan=False, description="Seconds before the second.")
    factor: float = Field(
        default=2.0, ge=1, le=10, allow_inf_nan=False, description="Each further wait is so much longer."
    )
    max_delay: float = Field(
        default=3600.0, ge=0, le=604_800, allow_inf_nan=False, description="Longest wait, seconds."
    )
    jitter: float = Field(default=0.1, ge=0, le=1, allow_inf_nan=False, description="Share of a wait drawn at random.")
    on: list[ErrorCode] = Field(default_factory=list, max_length=50, description="Only for these codes or statuses.")


class Submission(Fields):
    """The fields that every task may have, whatever its kind."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_visible)]
    task_type: Annotated[TaskType, Field(strict=False)]
    delay_seconds: Seconds | None = None
    run_at: MomentText | None = None
    cron_expression: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    timezone: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    start_at: MomentText | None = None
    end_at: MomentText | None = None
    max_runs: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    overlap: Annotated[Overlap, Field(strict=False)] | None = None
    misfire: Annotated[Misfire, Field(strict=False)] | None = None
    misfire_limit: Annotated[int, Field(ge=1, le=1000)] | None = None
    timeout: Seconds | None = None
    retry: RetryFields | None = None
    expires_in: Seconds | None = None
    tags: list[Tag] = Field(default_factory=list, max_length=20)
    priority: Annotated[Priority, Field(strict=False)] = Priority.NORMAL


#: Which fields say when, by the type of task that has them.
TIMING: Mapping[TaskType, tuple[str, ...]] = {
    TaskType.IMMEDIATE: (),
    TaskType.DELAYED: ("delay_seconds", "run_at"),
    TaskType.SCHEDULED: (
        *("cron_expression", "timezone", "start_at", "end_at"),
        *("max_runs", "overlap", "misfire", "misfire_limit"),
    ),
}
#: What a scheduled task has where it does not say.
SCHEDULE_DEFAULTS = {"timezone": "UTC", "overlap": Overlap.SKIP, "misfire": Misfire.ONCE, "misfire_limit": 10}


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A valid submission: the task, and its delay in milliseconds where it is due by a delay."""

    task: Task
    delay: int | None


class Parser:
    """Knows the kinds and the limits of this service."""

    def __init__(self, kinds: Mapping[str, Kind], settings: Settings) -> None:
        self._kinds = kinds
        self._settings = settings
        self._owners = {name: kind for kind in kinds.values() for name in _names(kind.Spec)}
        self._known = {*Submission.model_fields, *self._owners}
        models: list[type[BaseModel]] = [Submission, *(kind.Spec for kind in kinds.values())]
        #: Fields that may be null, which is the same as leaving them out.
        self._optional = frozenset(name for model in models for name in _optional(model))

    def parse(self, body: Any, now: int, *, task_id: str | None = None) -> Accepted:
        """The task that `body` describes, as of `now` (ms). Raises InvalidTask with every problem found.

        `task_id` is that of the task that is edited; a new task gets a new one.
        """
        if not isinstance(body, dict):
            raise not_an_object()
        body = {name: value for name, value in body.items() if value is not None or name not in self._optional}
        problems = list(unknown_fields(body, self._known))
        kind = self._kind(body, problems)
        fields = {name: value for name, value in body.items() if name in Submission.model_fields}
        submission = validated(Submission, fields, problems)
        spec = self._spec(kind, body, problems) if kind else None
        usable = submission or _without_bad(Submission, fields, problems, name="unnamed")
        timing = self._timing(usable, body, now, problems) if usable else {}
        problems.extend(self._timeout(usable) if usable else ())
        if problems or submission is None or kind is None or spec is None:
            raise InvalidTask(problems)
        return self._accept(submission, kind, spec, timing, now, task_id or identifier.new_id())

    def _kind(self, body: Mapping[str, Any], problems: list[FieldProblem]) -> Kind | None:
        meant = [kind for kind in self._kinds.values() if kind.marks & body.keys()]
        if len(meant) == 1:
            for name, owner in self._owners.items():
                if name in body and name not in _names(meant[0].Spec):
                    text = f"Only {owner.name} tasks have `{name}`; this is a {meant[0].name} task."
                    problems.append(_problem(f"/{name}", "field_of_other_kind", text))
            return meant[0]
        choices = " or ".join(" + ".join(f"`{name}`" for name in sorted(kind.marks)) for kind in self._kinds.values())
        if meant:
            problems.append(_problem("", "several_kinds", f"Give exactly one kind of work: {choices}."))
        else:
            problems.append(_problem("", "no_kind", f"Say what to do: give {choices}."))
        return None

    def _spec(self, kind: Kind, body: Mapping[str, Any], problems: list[FieldProblem]) -> Any:
        names = _names(kind.Spec)
        fields = {name: value for name, value in body.items() if name in names}
        spec = validated(kind.Spec, fields, problems)
        usable = spec or _without_bad(kind.Spec, fields, problems)
        if usable is not None:
            problems.extend(confidential.problems(fields, kind.secret_fields))
            problems.extend(kind.problems(usable))
        return spec

    def _timing(
        self, submission: Submission, body: Mapping[str, Any], now: int, problems: list[FieldProblem]
    ) -> dict[str, Any]:
        wanted = TIMING[submission.task_type]
        for task_type, names in TIMING.items():
            for name in names:
                if body.get(name) is not None and name not in wanted:
                    text = f"Only {task_type} tasks have `{name}`; this task is {submission.task_type}."
                    problems.append(_problem(f"/{name}", "field_of_other_type", text))
        timing = {name: getattr(submission, name) for name in wanted if getattr(submission, name) is not None}
        if submission.task_type is TaskType.DELAYED:
            problems.extend(_delay_problems(timing, body, now))
        elif submission.task_type is TaskType.SCHEDULED:
            timing = {**SCHEDULE_DEFAULTS, **timing}
            if "cron_expression" not in timing:
                if body.get("cron_expression") is None:
                    text = "A scheduled task needs `cron_expression`."
                    problems.append(_problem("/cron_expression", "missing", text))
            else:
                problems.extend(_schedule_problems(timing, now))
        return timing

    def _timeout(self, submission: Submission) -> Iterator[FieldProblem]:
        most = self._settings.task_timeout
        if submission.timeout is not None and submission.timeout > most:
            text = f"must be at most {most:g} seconds (the setting TASK_TIMEOUT)."
            yield _problem("/timeout", "too_large", text)

    def _accept(
        self, submission: Submission, kind: Kind, spec: BaseModel, timing: dict[str, Any], now: int, task_id: str
    ) -> Accepted:
        delay, due = None, None
        if submission.task_type is TaskType.SCHEDULED:
            due = cron_of(task_id, timing, now).next_after(now)
        elif submission.run_at is not None:
            due = moment.parse(submission.run_at)
        elif submission.delay_seconds is not None:
            delay = round(submission.delay_seconds * 1000)
        created = identifier.moment_of(task_id)
        task = Task(
            id=task_id,
            name=submission.name,
            task_type=submission.task_type,
            kind=kind.name,
            spec=spec.model_dump(mode="json", by_alias=True, exclude=_unset_json(spec)),
            timing=timing,
            timeout=_as_typed(float(kind.default_timeout if submission.timeout is None else submission.timeout)),
            retry=_retry(submission.retry),
            expires_in=submission.expires_in,
            tags=tuple(dict.fromkeys(submission.tags)),
            priority=submission.priority,
            status=Status.QUEUED if submission.task_type is TaskType.IMMEDIATE else Status.SCHEDULED,
            created_at=created,
            updated_at=created,
            next_run_at=due,
        )
        return Accepted(task=task, delay=delay)


def not_an_object() -> InvalidTask:
    """The error for a body that is no JSON object."""
    return InvalidTask([_problem("", "not_an_object", "The body must be a JSON object with the task's fields.")])


def unknown_fields(body: Mapping[str, Any], known: Collection[str]) -> Iterator[FieldProblem]:
    """A problem for each field that is not known, with the nearest name that is."""
    for number, name in enumerate(name for name in body if name not in known):
        # Looking for the nearest name is slow, and what is beyond MOST_TOLD is not told.
        hint = _nearest(name, known) if number < MOST_TOLD else ""
        yield _problem(f"/{_escape(name[:100])}", "unknown_field", f"There is no such field.{hint}")


def _names(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def _optional(model: type[BaseModel]) -> Iterator[str]:
    """Names of the fields that may be left out, but for those to which null is a value like others."""
    for name, field in model.model_fields.items():
        if not field.is_required() and field.annotation is not Any:
            yield field.alias or name


def _unset_json(spec: BaseModel) -> set[str]:
    return {
        name for name, field in type(spec).model_fields.items() if field.alias and name not in spec.model_fields_set
    }


def _retry(fields: RetryFields | None) -> Retry:
    return Retry(**{**fields.model_dump(), "on": tuple(fields.on)}) if fields else Retry()


def _delay_problems(timing: Mapping[str, Any], body: Mapping[str, Any], now: int) -> Iterator[FieldProblem]:
    given = [name for name in TIMING[TaskType.DELAYED] if body.get(name) is not None]
    if len(given) != 1:
        code = "several_times" if given else "missing"
        yield _problem("/delay_seconds", code, "A delayed task needs exactly one of `delay_seconds` and `run_at`.")
    elif "run_at" in timing:
        ahead = moment.parse(timing["run_at"]) - now
        if ahead < -TOLERANCE * 1000:
            yield _problem("/run_at", "in_the_past", "must not lie in the past.")
        elif ahead > FURTHEST * 1000:
            yield _problem("/run_at", "too_far", "must be within the next ten years.")


def cron_of(task_id: str, timing: Mapping[str, Any], now: int) -> Cron:
    """The schedule that the timing fields of a scheduled task describe. Raises InvalidSchedule."""
    start, end = timing.get("start_at"), timing.get("end_at")
    return parse_cron(
        expression=timing["cron_expression"],
        timezone=timing["timezone"],
        key=task_id,
        start_at=None if start is None else moment.parse(start),
        end_at=None if end is None else moment.parse(end),
        now=now,
    )


def stored_cron(task_id: str, timing: Mapping[str, Any]) -> Cron:
    """The schedule of a task that was accepted, without checking it again: it may have ended since."""
    start, end = timing.get("start_at"), timing.get("end_at")
    return Cron(
        expression=timing["cron_expression"],
        zone=timing["timezone"],
        key=task_id,
        start_at=None if start is None else moment.parse(start),
        end_at=None if end is None else moment.parse(end),
    )


def _schedule_problems(timing: Mapping[str, Any], now: int) -> Sequence[FieldProblem]:
    try:
        due = cron_of("", timing, now).next_after(now)
    except InvalidSchedule as error:
        return error.problems
    return () if due else [_problem("/cron_expression", "never_fires", "This schedule would never fire.")]


def validated(model: type[Model], fields: Mapping[str, Any], problems: list[FieldProblem]) -> Model | None:
    """`fields` as a model; None, and what is wrong with them added to `problems`, where they are not valid."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        problems.extend(_explained(error, model))
        return None


def _without_bad(
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


def _fields_at(model: type[BaseModel], place: Sequence[int | str]) -> set[str]:
    """Names of the fields of the object that stands at `place` in a model; none where that is no model."""
    found: type[BaseModel] | None = model
    for part in place:
        field = found.model_fields.get(str(part)) if found else None
        inner = (field.annotation, *get_args(field.annotation)) if field else ()
        found = next((each for each in inner if isinstance(each, type) and issubclass(each, BaseModel)), None)
    return _names(found) if found else set()


def _plain(place: Sequence[int | str]) -> set[int | str]:
    return {part for part in place if not (isinstance(part, str) and (part in UNION_BRANCHES or "[" in part))}


UNION_BRANCHES = frozenset({"str", "int", "float", "bool", "constrained-str", "constrained-int"})
CODES: Mapping[str, Literal["missing", "unknown_field", "wrong_type", "too_large", "too_small", "invalid"]] = {
    "missing": "missing",
    "extra_forbidden": "unknown_field",
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
