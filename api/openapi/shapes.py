"""The shapes of what the API shows, as types that pydantic turns into JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from api.openapi.account_shapes import ACCOUNT_SHAPES
from api.openapi.callback_shapes import CALLBACK_SHAPES, Callback
from tasks.model import Priority, Status, TaskType
from tasks.occurrence import Touch
from tasks.preview import PreviewFields
from tasks.schedule import Misfire, Overlap

Moment = Annotated[
    str,
    Field(
        description="RFC 3339 in UTC with milliseconds.",
        json_schema_extra={"format": "date-time"},
        examples=["2026-11-24T05:00:20.371Z"],
    ),
]
MaybeMoment = Moment | None
Seconds = Annotated[float, Field(ge=0, description="Seconds.")]
TaskId = Annotated[str, Field(json_schema_extra={"format": "uuid"}, examples=["01a20bed-2413-76b5-9617-f9478f7f91a6"])]
RunId = Annotated[str, Field(examples=["01a20bed-2413-76b5-9617-f9478f7f91a6.1"])]
Reason = Annotated[
    str | None, Field(description="Why it ended as it did, in one machine word; see docs/reference/errors.md.")
]

#: No field that is not described here: what the tests of the document hold the answers to.
EXACT = ConfigDict(extra="forbid")


class RunError(TypedDict):
    """Why a run did not do its work."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    code: Annotated[str, Field(description="Stable machine word.", examples=["code_raised"])]
    message: Annotated[str, Field(description="One plain sentence.")]
    traceback: Annotated[str | None, Field(description="The user's own frames only.")]
    line: Annotated[int | None, Field(description="Line of the user's code, counted from 1.")]


class Attempt(TypedDict):
    """One try inside a run."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    number: int
    worker: str | None
    status: Status
    code: Annotated[str | None, Field(description="Error code of a failed attempt.")]
    started_at: MaybeMoment
    finished_at: MaybeMoment


class Run(TypedDict):
    """One occurrence of a task. A finished run never changes."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    id: RunId
    task_id: TaskId
    number: Annotated[int, Field(ge=1, description="1 for the task's first run.")]
    status: Status
    reason: Reason
    due_at: Moment
    queued_at: MaybeMoment
    started_at: MaybeMoment
    finished_at: MaybeMoment
    duration: Seconds | None
    worker: Annotated[str | None, Field(description="The worker that has it or had it last.")]
    attempt: Annotated[int, Field(ge=0, description="How often it was started.")]
    attempts: list[Attempt]
    result: Annotated[Any, Field(description="What the function returned, or the HTTP answer; any JSON value.")]
    error: RunError | None
    stdout: str
    stderr: str
    output_truncated: Annotated[bool, Field(description="Whether output was dropped past MAX_OUTPUT_BYTES.")]
    usage: Annotated[
        dict[str, Any] | None,
        Field(description="`wall` and, for code, `cpu` in seconds and `peak_memory` in bytes, of the last attempt."),
    ]


class Retry(TypedDict):
    """When a failed attempt is tried again."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    max: int
    backoff: float
    factor: float
    max_delay: float
    jitter: float
    on: list[str]


class TaskSummary(TypedDict):
    """A task as listings have it: without its work and its results."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    id: TaskId
    name: str
    task_type: TaskType
    owner: Annotated[str, Field(description="Who submitted it; `anonymous` where nobody had to say.")]
    kind: Annotated[str, Field(description="Which sort of work it is.", examples=["code"])]
    status: Status
    reason: Reason
    tags: list[str]
    priority: Priority
    delay_seconds: NotRequired[float]
    run_at: NotRequired[str]
    cron_expression: NotRequired[str]
    timezone: NotRequired[str]
    start_at: NotRequired[str]
    end_at: NotRequired[str]
    max_runs: NotRequired[int]
    overlap: NotRequired[Overlap]
    misfire: NotRequired[Misfire]
    misfire_limit: NotRequired[int]
    created_at: Moment
    updated_at: Moment
    next_run_at: MaybeMoment
    run_count: Annotated[int, Field(ge=0, description="Runs so far, with those that wait or were skipped.")]


class Task(TaskSummary):
    """A task with its work and its last run; the kinds' own fields are added to these."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    timeout: Annotated[float, Field(gt=0, description="Seconds an attempt may take.")]
    retry: NotRequired[Retry]
    expires_in: NotRequired[float]
    callback: NotRequired[Callback]
    last_run: Run | None
    next_runs: NotRequired[Annotated[list[Moment], Field(description="Scheduled tasks: the next five times.")]]
    skipped_unlisted: NotRequired[
        Annotated[int, Field(ge=0, description="Scheduled tasks: occurrences skipped without a row of their own.")]
    ]
    result: NotRequired[Annotated[Any, Field(description="Of the one run of an immediate or delayed task.")]]
    error: NotRequired[RunError | None]
    stdout: NotRequired[str]
    stderr: NotRequired[str]
    started_at: NotRequired[MaybeMoment]
    finished_at: NotRequired[MaybeMoment]
    duration: NotRequired[Seconds | None]
    attempt: NotRequired[int]


Cursor = Annotated[str | None, Field(description="`cursor` of the next page; null on the last one.")]
Total = Annotated[int | None, Field(description="How many match in all; null where counting would take long.")]


class TaskPage(TypedDict):
    """A page of tasks, newest first."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    tasks: list[TaskSummary]
    next_cursor: Cursor
    total: Total


class Batch(TypedDict):
    """Several tasks to be stored, all or none."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    tasks: Annotated[
        list[Any],
        Field(min_length=1, max_length=1000),
    ]


class Transfer(TypedDict):
    """Schedules to be stored, all or none, as they were exported: the fields of a submission, and `paused`."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    tasks: Annotated[list[Any], Field(max_length=1000)]
    next_cursor: NotRequired[Annotated[str | None, Field(description="For the next page; an import ignores it.")]]


class Batched(TypedDict):
    """The tasks of a batch, in their order."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    tasks: list[TaskSummary]


class AnySubmission(TypedDict):
    """A submission, right or wrong."""


class Validated(TypedDict):
    """What would become of a submission."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    valid: bool
    errors: Annotated[list[Fault], Field(description="Everything that is wrong; empty where it is valid.")]
    kind: str | None
    next_runs: Annotated[list[Moment], Field(description="When it would run: the next five times of a schedule.")]
    task: Annotated[
        dict[str, Any] | None, Field(description="The submission with its defaults filled in; null if it is not valid.")
    ]


class RunPage(TypedDict):
    """A page of runs, newest first."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    runs: list[Run]
    next_cursor: Cursor
    total: Total


class Fault(TypedDict):
    """One thing that is wrong with one field or parameter."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    pointer: Annotated[str, Field(description="JSON Pointer (RFC 6901) into the body, or `?name` of a parameter.")]
    code: Annotated[str, Field(examples=["missing"])]
    message: str
    line: NotRequired[Annotated[int, Field(description="In `function_code`, counted from 1.")]]
    column: NotRequired[Annotated[int, Field(description="In `function_code`, counted from 1.")]]
    index: NotRequired[Annotated[int, Field(description="Which of several tasks, counted from 0.")]]


class Problem(TypedDict):
    """An error (RFC 9457)."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    type: Annotated[str, Field(json_schema_extra={"format": "uri"}, examples=["urn:tms:problem:invalid_task"])]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(description="One plain sentence for a person.")]
    code: Annotated[str, Field(description="Stable machine word; see docs/reference/errors.md.")]
    request_id: str | None
    errors: NotRequired[list[Fault]]


class Health(TypedDict):
    """Whether the service works; kinds add what they have to say, such as `sandbox`."""

    status: Literal["healthy", "degraded", "unhealthy"]
    redis: dict[str, Any]
    workers: NotRequired[list[dict[str, Any]]]
    beat: NotRequired[dict[str, Any]]
    queues: NotRequired[dict[str, int]]
    sandbox: NotRequired[dict[str, Any]]
    version: str


class Live(TypedDict):
    """The process answers."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    status: Literal["alive"]


class Ready(TypedDict):
    """Whether the service can take tasks."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    status: Literal["ready", "unready"]
    reason: NotRequired[str]


class Event(TypedDict):
    """One server-sent event."""

    id: Annotated[str, Field(description="To be sent as Last-Event-ID.", examples=["3.1.1.3.6.0"])]
    event: Literal["status", "output", "end"]
    data: Annotated[str, Field(description="JSON.", json_schema_extra={"contentMediaType": "application/json"})]


class TaskCounts(TypedDict):
    """Tasks that are kept."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    total: int
    by_status: dict[Status, int]


class KindStats(TypedDict):
    """What became of one sort of work since the first task."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    submitted: Annotated[dict[TaskType, int], Field(description="Tasks accepted.")]
    ended: Annotated[dict[Status, int], Field(description="Runs that ended or were skipped.")]
    mean_delay: Annotated[Seconds | None, Field(description="From when a run was due until it started.")]
    mean_duration: Annotated[Seconds | None, Field(description="Of the last attempt of a run.")]


class Period(TypedDict):
    """What happened in a span of time."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    submitted: int
    ended: dict[Status, int]


class Minute(Period):
    """What happened in one minute."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    at: Annotated[Moment, Field(description="Its beginning.")]


class Stats(TypedDict):
    """Counts and rates, of all owners."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    at: Moment
    tasks: TaskCounts
    late_by: Annotated[Seconds, Field(description="How late the earliest due run or schedule is.")]
    kinds: dict[str, KindStats]
    last_hour: Annotated[Period, Field(description="The sum of `minutes`.")]
    minutes: Annotated[list[Minute], Field(description="The current minute and the 59 before it, newest first.")]


class Described(TypedDict):
    """A schedule as a sentence."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    en: str
    zh: str


class ClockRemark(TypedDict):
    """What a change of the clock does to an occurrence."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    touch: Touch
    named: Annotated[str, Field(description="The time on the clock that the expression names.")]
    en: str
    zh: str


class Occurrence(TypedDict):
    """One time at which a schedule runs."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    at: Moment
    local: Annotated[str, Field(description="The same on the clock of the zone, with its offset.")]
    remark: ClockRemark | None


class Preview(TypedDict):
    """What a schedule is going to do."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    cron_expression: str
    timezone: str
    description: Described
    next_runs: list[Moment]
    occurrences: list[Occurrence]
    clock_changes: Annotated[
        list[Occurrence], Field(description="Occurrences of the next 400 days that a change of the clock touches.")
    ]


class Root(TypedDict):
    """Where to go from `/`."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    name: str
    version: str
    docs: Annotated[str, Field(description="Path of the description for people.")]
    openapi: Annotated[str, Field(description="Path of the description for programs.")]
    health: Annotated[str, Field(description="Path that says whether the service works.")]
    tasks: Annotated[str, Field(description="Path of the tasks.")]


class OpenApi(TypedDict):
    """An OpenAPI document."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]


#: Every shape by the name that it has in `components/schemas`. What a call sends or shows is added here.
SHAPES: dict[str, Any] = {
    shape.__name__: shape
    for shape in (
        *(
            Problem,
            Task,
            TaskPage,
            Batch,
            Batched,
            Transfer,
            AnySubmission,
            Validated,
            Run,
            RunPage,
            Health,
            Live,
            Ready,
        ),
        *(Preview, PreviewFields, Stats, Event),
        *(OpenApi, Root),
    )
} | {**ACCOUNT_SHAPES, **CALLBACK_SHAPES}
