"""/api/stats: how much there is, how often what happened, and how long it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, jsonify

from api.openapi import Answer, Operation, describe
from tasks.moment import show
from tasks.store import Spans, Tally
from tasks.task_manager import TaskManager

#: Minutes that are told one by one.
MINUTES = 60


def blueprint(manager: TaskManager) -> Blueprint:
    """The routes, over `manager`."""
    routes = Blueprint("stats", __name__, url_prefix="/api/stats")

    @routes.get("")
    @describe(
        Operation(
            summary="Counts and rates",
            tag="health",
            description="Of all owners. Operators, who see their own tasks only, are refused.",
            answers={200: Answer(description="What is there and what happened.", shape="Stats")},
            problems={403: ("role_too_low",)},
        )
    )
    def stats() -> Response:
        return jsonify(_shown(manager.stats(MINUTES)))

    return routes


def _shown(tally: Tally) -> dict[str, Any]:
    minutes = [_minute(tally.now // 60_000 - age, counted) for age, counted in enumerate(tally.minutes)]
    hour: Counter[str] = Counter()
    for minute in minutes:
        hour.update(minute["ended"])
    return {
        "at": show(tally.now),
        "tasks": {"total": tally.tasks, "by_status": tally.by_status},
        "late_by": 0.0 if tally.first_due is None else max(0, tally.now - tally.first_due) / 1000,
        "kinds": {kind: _kind(kind, tally) for kind in sorted(_kinds(tally))},
        "last_hour": {"submitted": sum(minute["submitted"] for minute in minutes), "ended": dict(hour)},
        "minutes": minutes,
    }


def _minute(minute: int, counted: Mapping[str, int]) -> dict[str, Any]:
    ended = {name.partition(":")[2]: number for name, number in counted.items() if name.startswith("ended:")}
    return {"at": show(minute * 60_000), "submitted": counted.get("submitted", 0), "ended": ended}


def _kinds(tally: Tally) -> set[str]:
    return {kind for _, kind in tally.submitted} | {kind for kind, _ in tally.ended}


def _kind(kind: str, tally: Tally) -> dict[str, Any]:
    return {
        "submitted": {task_type: number for (task_type, of), number in tally.submitted.items() if of == kind},
        "ended": {status: number for (of, status), number in tally.ended.items() if of == kind},
        "mean_delay": _mean(tally.delays.get(kind)),
        "mean_duration": _mean(tally.durations.get(kind)),
    }


def _mean(spans: Spans | None) -> float | None:
    """In seconds; None where there was none."""
    return round(spans.total / sum(spans.counts) / 1000, 4) if spans and sum(spans.counts) else None
