"""/api/tasks/{id}/events: server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from flask import Blueprint, Response, request

from api import identity
from api.errors import BadRequest
from api.openapi import Answer, Operation, Parameter, describe
from api.seats import Seats
from tasks import follow
from tasks.follow import Event, Follower, Place
from tasks.task_manager import TaskManager

MEDIA_TYPE = "text/event-stream"
#: Milliseconds after which a browser connects again.
RECONNECT = 2000
LAST_EVENT_ID = Parameter(
    name="Last-Event-ID",
    where="header",
    description="Id of the last event that was seen; the ones behind it follow. Browsers send it by themselves.",
    schema={"type": "string", "pattern": r"^(\d{1,2}\.\d{1,11}\.\d{1,6}\.\d{1,2}\.\d{1,10}\.\d{1,10}(\.end)?)?$"},
    example="2.1.1.2.120.0",
)
DESCRIPTION = """Server-sent events, one run after the other, from the task's last run on:

- `status`: the status of the task or of its run changed,
- `output`: text that a run printed, within about 0.1 s,
- `end`: nothing more will follow; the stream ends.

A line that begins with a colon is a sign of life. A scheduled task goes on with its next run until its schedule ends.
"""


def blueprint(manager: TaskManager, seats: Seats) -> Blueprint:
    """The route, over `manager`."""
    routes = Blueprint("events", __name__, url_prefix="/api/tasks/<task_id>/events")

    @routes.get("")
    @describe(
        Operation(
            summary="Follow a task",
            description=DESCRIPTION,
            tag="runs",
            parameters=(LAST_EVENT_ID,),
            answers={
                200: Answer(description="Events.", media_type=MEDIA_TYPE, shape="Event"),
                204: Answer(description="`Last-Event-ID` is that of an `end`: nothing follows, do not come back."),
            },
            problems={400: ("bad_last_event_id",), 429: ("too_many_streams",)},
        )
    )
    def events(task_id: str) -> Response:
        start = _start()
        if request.method == "HEAD":
            manager.follow(task_id, start, leaving=seats.leaving)
            return _dressed(Response(iter(())))
        name = identity.current().name
        seats.take(name)
        try:
            follower = manager.follow(task_id, start, leaving=identity.until_gone(seats.leaving))
        except BaseException:
            seats.give(name)
            raise
        if start.ended:
            seats.give(name)
            return Response(status=204)
        response = _dressed(Response(_told(follower)))
        response.call_on_close(lambda: seats.give(name))
        return response

    return routes


def _start() -> Place:
    given = request.headers.get("Last-Event-ID", "")
    found = follow.place(given) if given else Place()
    if found is None:
        raise BadRequest(400, "bad_last_event_id", "Last-Event-ID is not the id of an event of a task.")
    return found


def _dressed(response: Response) -> Response:
    response.headers["Content-Type"] = f"{MEDIA_TYPE}; charset=utf-8"
    response.headers["Cache-Control"] = "no-store"
    # Without it nginx holds events back: https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _told(follower: Follower) -> Iterator[str]:
    yield f"retry: {RECONNECT}\n\n"
    for event in follower.events():
        yield ":\n\n" if event is None else _shown(event)


def _shown(event: Event) -> str:
    data = json.dumps(event.data, ensure_ascii=False, allow_nan=False)
    return f"id: {event.place}\nevent: {event.name}\ndata: {data}\n\n"
