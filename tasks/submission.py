"""From what a user submits to a Task, or to every reason why not."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints

from config.settings import Settings
from tasks import confidential, identifier, moment
from tasks.base_tasks import Kind
from tasks.errors import FieldProblem, InvalidTask
from tasks.http_call import HttpCaller, HttpRequest
from tasks.model import Callback, Priority, Retry, Status, Task, TaskType
from tasks.schedule import Cron, InvalidSchedule, Misfire, Overlap, parse_cron
from tasks.validation import Fields, names_of, unknown_fields, validated, without_bad

#: Ten years: what is due later is a mistake.
FURTHEST = 315_360_000
#: Seconds by which a `run_at` may lie in the past, for clocks that differ.
TOLERANCE = 60


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _visible(text: str) -> str:
    if not text.strip() or _CONTROL.search(text):
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


#: In which statuses a run ends (FINISHED of tasks/model.py).
RunEnd = Literal["succeeded", "failed", "timed_out", "stopped", "lost", "expired", "skipped"]
ENDS: tuple[RunEnd, ...] = get_args(RunEnd)


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


class CallbackFields(Fields):
    """Who is told when a run has ended."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)] = Field(
        description="Gets a signed POST for each event; http or https."
    )
    events: list[RunEnd] = Field(
        default_factory=lambda: list(ENDS),
        min_length=1,
        max_length=len(ENDS),
        description="Statuses of runs whose end is told; default: all in which a run can end.",
    )


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
    callback: CallbackFields | None = Field(default=None, description="Who is told when a run has ended, and of which.")
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
#: The type of task that has each of them.
_TIMED = {name: task_type for task_type, names in TIMING.items() for name in names}
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
        self._owners = {name: kind for kind in kinds.values() for name in names_of(kind.Spec)}
        self._caller = HttpCaller(allowed_networks=settings.http_allowed_networks, max_response_bytes=0)
        self._known = {*names_of(Submission), *self._owners}
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
        fields = {name: value for name, value in body.items() if name in names_of(Submission)}
        submission = validated(Submission, fields, problems)
        spec = self._spec(kind, body, problems) if kind else None
        usable = submission or without_bad(Submission, fields, problems, name="unnamed")
        timing = self._timing(usable, body, now, problems) if usable else {}
        problems.extend([*self._timeout(usable), *self._callback(usable), *_misplaced(usable)] if usable else ())
        if problems or submission is None or kind is None or spec is None:
            raise InvalidTask(problems)
        return self._accept(submission, kind, spec, timing, now, task_id or identifier.new_id())

    def _kind(self, body: Mapping[str, Any], problems: list[FieldProblem]) -> Kind | None:
        meant = [kind for kind in self._kinds.values() if kind.marks & body.keys()]
        if len(meant) == 1:
            for name, owner in self._owners.items():
                if name in body and name not in names_of(meant[0].Spec):
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
        names = names_of(kind.Spec)
        fields = {name: value for name, value in body.items() if name in names}
        spec = validated(kind.Spec, fields, problems)
        usable = spec or without_bad(kind.Spec, fields, problems)
        if usable is not None:
            problems.extend(confidential.problems(fields, kind.secret_fields))
            problems.extend(kind.problems(usable))
        return spec

    def _timing(
        self, submission: Submission, body: Mapping[str, Any], now: int, problems: list[FieldProblem]
    ) -> dict[str, Any]:
        wanted = TIMING[submission.task_type]
        for name in () if _TIMED.keys().isdisjoint(body) else _TIMED:
            if body.get(name) is not None and name not in wanted:
                text = f"Only {_TIMED[name]} tasks have `{name}`; this task is {submission.task_type}."
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

    def _callback(self, submission: Submission) -> Iterator[FieldProblem]:
        if submission.callback is not None:
            for problem in self._caller.problems(HttpRequest(api_url=submission.callback.url, method="POST")):
                yield dataclasses.replace(problem, pointer="/callback/url")

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
            callback=_callback(submission.callback),
            tags=tuple(dict.fromkeys(submission.tags)),
            priority=submission.priority,
            status=Status.QUEUED if submission.task_type is TaskType.IMMEDIATE else Status.SCHEDULED,
            created_at=created,
            updated_at=created,
            next_run_at=due,
        )
        return Accepted(task=task, delay=delay)


def _misplaced(submission: Submission) -> Iterator[FieldProblem]:
    """Secrets where none is filled in, in the fields that every task has."""
    callback = {} if submission.callback is None else {"/callback/url": submission.callback.url}
    return confidential.misplaced({"/name": submission.name, "/tags": submission.tags, **callback})


def not_an_object() -> InvalidTask:
    """The error for a body that is no JSON object."""
    return InvalidTask([_problem("", "not_an_object", "The body must be a JSON object with the task's fields.")])


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


def _callback(fields: CallbackFields | None) -> Callback | None:
    return Callback(url=fields.url, events=tuple(dict.fromkeys(fields.events))) if fields else None


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


def _problem(pointer: str, code: str, message: str) -> FieldProblem:
    return FieldProblem(pointer=pointer, code=code, message=message)
