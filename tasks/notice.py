"""What a receiver is told: the body of a callback. Small, and without what the task holds."""

from __future__ import annotations

import json
from typing import Any

from tasks.moment import show
from tasks.store.deliveries import Delivery

#: Bytes of a result, as JSON in UTF-8, that are told; a larger one is left out and can be fetched.
MOST_RESULT = 16_384
#: Characters of an error's message that are told.
MOST_MESSAGE = 2_000


def name_of(run_id: str) -> str:
    """The `webhook-id` of a run's news: the same for every try. It has no dot, which separates what is signed."""
    return run_id.replace(".", "_")


def body(delivery: Delivery) -> str:
    """The JSON text that is sent."""
    run = delivery.run
    result, left_out = _result(run.result)
    data = {
        "task_id": run.task_id,
        "name": delivery.name,
        "task_type": delivery.task_type,
        "kind": delivery.kind,
        "tags": list(delivery.tags),
        "run_id": run.id,
        "number": run.number,
        "status": run.status,
        "reason": run.reason,
        "due_at": show(run.due_at),
        "started_at": show(run.started_at),
        "finished_at": show(run.finished_at),
        "attempt": run.attempt,
        "result": result,
        "result_left_out": left_out,
        "error": _error(run.error),
        "path": f"/api/tasks/{run.task_id}/runs/{run.id}",
    }
    return json.dumps(
        {"type": f"run.{run.status}", "timestamp": show(run.finished_at), "data": data},
        ensure_ascii=False,
        allow_nan=False,
    )


def _result(result: Any) -> tuple[Any, bool]:
    size = len(json.dumps(result, ensure_ascii=False).encode())
    return (result, False) if size <= MOST_RESULT else (None, True)


def _error(error: Any) -> dict[str, Any] | None:
    """Without the traceback, which quotes the code."""
    if not error:
        return None
    return {"code": error["code"], "message": str(error["message"])[:MOST_MESSAGE], "line": error.get("line")}
