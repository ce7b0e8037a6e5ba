"""The shapes of callbacks: what a receiver is sent, what became of it, and what signs it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from tasks.model import Status, TaskType
from tasks.store.deliveries import DeliveryStatus
from tasks.submission import RunEnd

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-24T05:00:20.371Z"])]
NoticeId = Annotated[
    str, Field(description="The `webhook-id` of every try.", examples=["01a20bed-2413-76b5-9617-f9478f7f91a6_1"])
]
NoticeType = Annotated[str, Field(description="`run.` and the status.", examples=["run.succeeded"])]
EXACT = ConfigDict(extra="forbid")


class Callback(TypedDict):
    """Who is told when a run has ended."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    url: str
    events: list[RunEnd]


class CallbackTry(TypedDict):
    """One request to a receiver, once it is over."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    number: Annotated[int, Field(ge=1)]
    at: Moment
    duration: Annotated[float | None, Field(description="Seconds; null where its worker went away.")]
    status_code: Annotated[int | None, Field(description="What the receiver answered.")]
    error: Annotated[str | None, Field(description="Why it did not arrive; see docs/reference/errors.md.")]


class Delivery(TypedDict):
    """What became of a callback."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    id: NoticeId
    run_id: str
    type: NoticeType
    status: DeliveryStatus
    reason: Annotated[str | None, Field(description="Why it failed, in one machine word.")]
    next_try_at: Annotated[
        Moment | None, Field(description="While a try goes on: when it counts as lost. Null once there is none.")
    ]
    tries_made: Annotated[int, Field(ge=0, description="With the one that goes on.")]
    tries: Annotated[list[CallbackTry], Field(description="The last 50 that are over, oldest first.")]


class DeliveryPage(TypedDict):
    """A page of deliveries, of the newest run first."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    callbacks: list[Delivery]
    next_cursor: Annotated[str | None, Field(description="`cursor` of the next page; null on the last one.")]
    total: int


class CallbackSecret(TypedDict):
    """What signs your callbacks."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    secret: Annotated[str, Field(pattern="^whsec_[A-Za-z0-9+/]{43}=$")]
    generation: Annotated[int, Field(ge=1, description="Counts how often it was changed.")]
    previous_until: Annotated[Moment | None, Field(description="Until when the secret before signs as well.")]


class NoticeError(TypedDict):
    """Why the run did not do its work."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    code: str
    message: Annotated[str, Field(description="The first 2,000 characters.")]
    line: int | None


class NoticeData(TypedDict):
    """The run that ended."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    task_id: str
    name: str
    task_type: TaskType
    kind: str
    tags: list[str]
    run_id: str
    number: int
    status: Status
    reason: str | None
    due_at: Moment
    started_at: Moment | None
    finished_at: Moment
    attempt: int
    result: Annotated[Any, Field(description="Null where it is larger than 16 KiB.")]
    result_left_out: bool
    error: NoticeError | None
    path: Annotated[str, Field(description="Where all of it can be read, below the URL of this API.")]


class Notice(TypedDict):
    """What a receiver is sent."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    type: Literal[
        "run.succeeded", "run.failed", "run.timed_out", "run.stopped", "run.lost", "run.expired", "run.skipped"
    ]
    timestamp: Annotated[Moment, Field(description="When the run ended.")]
    data: NoticeData


CALLBACK_SHAPES: dict[str, Any] = {shape.__name__: shape for shape in (DeliveryPage, Delivery, CallbackSecret, Notice)}
