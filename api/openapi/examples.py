"""Examples for the document: the submissions of the user's guide, a task, a run, a problem."""

from __future__ import annotations

import http
from typing import Any

from tasks.errors import FieldProblem

TASK_ID = "01a20bed-2413-76b5-9617-f9478f7f91a6"

#: The guide's own, word for word; a test compares.
SUBMISSIONS: dict[str, Any] = {
    "run a function now": {
        "name": "测试任务",
        "task_type": "immediate",
        "function_code": 'def hello():\n    return "Hello World!"',
        "function_name": "hello",
        "args": [],
        "kwargs": {},
    },
    "run it later": {
        "name": "延时任务",
        "task_type": "delayed",
        "delay_seconds": 60,
        "function_code": 'def delayed_task():\n    return "延时任务执行完成"',
        "function_name": "delayed_task",
        "args": [],
        "kwargs": {},
    },
    "call an API": {
        "name": "API任务",
        "task_type": "immediate",
        "api_url": "https://httpbin.org/get",
        "method": "GET",
        "headers": {"User-Agent": "TaskManagementSystem/1.0"},
        "timeout": 30,
    },
    "run at once": {
        "name": "立即任务",
        "task_type": "immediate",
        "function_code": 'def task():\n    return "立即执行"',
        "function_name": "task",
    },
    "run after five minutes": {
        "name": "延时任务",
        "task_type": "delayed",
        "delay_seconds": 300,
        "function_code": 'def task():\n    return "延时执行"',
        "function_name": "task",
    },
    "run every night": {
        "name": "定时任务",
        "task_type": "scheduled",
        "cron_expression": "0 0 * * *",
        "function_code": 'def task():\n    return "定时执行"',
        "function_name": "task",
    },
}

#: Besides the guide's.
MORE_SUBMISSIONS: dict[str, Any] = {
    "tell me when it is done": {
        "name": "a callback",
        "task_type": "immediate",
        "function_code": "def add(a, b):\n    return a + b",
        "function_name": "add",
        "args": [1, 2],
        "callback": {"url": "https://hooks.example.com/tasks", "events": ["succeeded", "failed"]},
    },
}

RUN: dict[str, Any] = {
    "id": f"{TASK_ID}.1",
    "task_id": TASK_ID,
    "number": 1,
    "status": "succeeded",
    "reason": None,
    "due_at": "2026-11-24T05:00:20.373Z",
    "queued_at": "2026-11-24T05:00:20.373Z",
    "started_at": "2026-11-24T05:00:20.402Z",
    "finished_at": "2026-11-24T05:00:20.407Z",
    "duration": 0.005,
    "worker": "vm:17582:83e1bfb6",
    "attempt": 1,
    "attempts": [
        {
            "number": 1,
            "worker": "vm:17582:83e1bfb6",
            "status": "succeeded",
            "code": None,
            "started_at": "2026-11-24T05:00:20.402Z",
            "finished_at": "2026-11-24T05:00:20.407Z",
        }
    ],
    "result": "Hello World!",
    "error": None,
    "stdout": "",
    "stderr": "",
    "output_truncated": False,
    "usage": {"cpu": 0.000281, "peak_memory": 13426688, "wall": 0.003586},
}

SUMMARY: dict[str, Any] = {
    "id": TASK_ID,
    "name": "测试任务",
    "task_type": "immediate",
    "owner": "anonymous",
    "kind": "code",
    "status": "succeeded",
    "reason": None,
    "tags": [],
    "priority": "normal",
    "created_at": "2026-11-24T05:00:20.371Z",
    "updated_at": "2026-11-24T05:00:20.407Z",
    "next_run_at": None,
    "run_count": 1,
}

TASK: dict[str, Any] = {
    **SUMMARY,
    "function_code": SUBMISSIONS["run a function now"]["function_code"],
    "function_name": "hello",
    "args": [],
    "kwargs": {},
    "timeout": 1800,
    "last_run": RUN,
    **{name: RUN[name] for name in ("result", "error", "stdout", "stderr", "started_at", "finished_at")},
    "duration": 0.005,
    "attempt": 1,
}

DELIVERY: dict[str, Any] = {
    "id": f"{TASK_ID}_1",
    "run_id": f"{TASK_ID}.1",
    "type": "run.succeeded",
    "status": "waiting",
    "reason": None,
    "next_try_at": "2026-11-24T05:05:26.113Z",
    "tries_made": 2,
    "tries": [
        {
            "number": 1,
            "at": "2026-11-24T05:00:20.408Z",
            "duration": 0.004,
            "status_code": 503,
            "error": "unexpected_status",
        },
        {
            "number": 2,
            "at": "2026-11-24T05:00:26.107Z",
            "duration": 0.001,
            "status_code": None,
            "error": "connect_failed",
        },
    ],
}

DELIVERY_PAGE: dict[str, Any] = {"callbacks": [DELIVERY], "next_cursor": None, "total": 1}

#: A sentence, and a wrong field where there are some, for the codes whose problems are shown.
DETAILS: dict[str, tuple[str, FieldProblem | None]] = {
    "invalid_task": (
        "The task cannot be accepted: 1 fault.",
        FieldProblem(
            pointer="/function_code",
            code="import_not_allowed",
            message="Tasks may not import os; they can reach no files, processes or environment.",
            line=2,
            column=5,
        ),
    ),
    "invalid_query": (
        "The query cannot be accepted.",
        FieldProblem(pointer="?limit", code="invalid", message="must be a whole number from 1 to 500."),
    ),
    "task_not_found": (f"There is no task {TASK_ID}.", None),
    "illegal_move": (f"Task {TASK_ID} has ended (succeeded) and cannot be stopped.", None),
    "store_unavailable": ("Redis does not answer.", None),
    "malformed_json": ("The body is not valid JSON: Expecting value at line 1, column 1.", None),
}


def problem(status: int, code: str) -> dict[str, Any]:
    """A problem with this status and code."""
    detail, fault = DETAILS.get(code, (f"{http.HTTPStatus(status).phrase}.", None))
    shown: dict[str, Any] = {
        "type": f"urn:tms:problem:{code}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": "f81d4fae7dec11d0a76500a0c91e6bf6",
    }
    if fault:
        told = {"pointer": fault.pointer, "code": fault.code, "message": fault.message}
        shown["errors"] = [told if fault.line is None else {**told, "line": fault.line, "column": fault.column}]
    return shown
