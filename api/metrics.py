"""/metrics: the same counts for Prometheus.

They are read from Redis, where every process counts, so any API process tells all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response

from api.openapi import Answer, Operation, describe
from tasks.store import BUCKETS, Spans, Tally
from tasks.task_manager import TaskManager

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

#: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def blueprint(manager: TaskManager) -> Blueprint:
    """The route, over `manager`."""
    routes = Blueprint("metrics", __name__)

    @routes.get("/metrics")
    @describe(
        Operation(
            summary="Counts for Prometheus",
            tag="health",
            description="In its text format. Operators, who see their own tasks only, are refused.",
            answers={200: Answer(description="Metrics.", media_type="text/plain")},
            problems={403: ("role_too_low",)},
        )
    )
    def metrics() -> Response:
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Reading(manager.stats(0), manager.health()))
        return Response(generate_latest(registry), content_type=MEDIA_TYPE)

    return routes


class _Reading:
    """What was read, as a collector of prometheus_client."""

    def __init__(self, tally: Tally, health: dict[str, Any]) -> None:
        self._tally, self._health = tally, health

    def collect(self) -> Iterator[Metric]:
        """Every metric."""
        yield from self._gauges()
        yield from self._counters()
        yield from self._histograms()

    def _gauges(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        tally, beat, workers = self._tally, self._health["beat"], self._health["workers"]
        late = 0 if tally.first_due is None else max(0, tally.now - tally.first_due)
        yield GaugeMetricFamily("tms_workers", "Worker processes that live.", value=len(workers))
        yield GaugeMetricFamily("tms_beat_alive", "1 where a Beat lives.", value=int(beat["alive"]))
        yield GaugeMetricFamily("tms_late_seconds", "How late the earliest due run or task is.", value=late / 1000)
        queues = GaugeMetricFamily("tms_queue_runs", "Runs that wait for a worker.", labels=("kind",))
        numbers = dict(self._health["queues"])
        running, due, held = (numbers.pop(name) for name in ("running", "due", "held"))
        for kind, number in numbers.items():
            queues.add_metric((kind,), number)
        yield queues
        yield GaugeMetricFamily("tms_running_runs", "Runs that a worker has.", value=running)
        yield GaugeMetricFamily("tms_held_runs", "Runs that wait for another of their owner to end.", value=held)
        yield GaugeMetricFamily("tms_due_moments", "Runs and schedules that wait for their time.", value=due)
        tasks = GaugeMetricFamily("tms_tasks", "Tasks that are kept.", labels=("status",))
        for status, number in tally.by_status.items():
            tasks.add_metric((status,), number)
        yield tasks

    def _counters(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily

        submitted = CounterMetricFamily("tms_tasks_submitted", "Tasks accepted.", labels=("task_type", "kind"))
        for (task_type, kind), number in self._tally.submitted.items():
            submitted.add_metric((task_type, kind), number)
        yield submitted
        ended = CounterMetricFamily("tms_runs_ended", "Runs that ended, or were skipped.", labels=("kind", "status"))
        for (kind, status), number in self._tally.ended.items():
            ended.add_metric((kind, status), number)
        yield ended
        callbacks = CounterMetricFamily("tms_callbacks", "Callbacks by what became of them.", labels=("end",))
        for end, number in self._tally.callbacks.items():
            if end != "tries":
                callbacks.add_metric((end,), number)
        yield callbacks
        tries = self._tally.callbacks["tries"]
        yield CounterMetricFamily("tms_callback_tries", "Requests made to deliver callbacks.", value=tries)

    def _histograms(self) -> Iterator[Metric]:
        from prometheus_client.core import HistogramMetricFamily

        for name, about, by_kind in (
            ("tms_run_delay_seconds", "From when a run was due until it started.", self._tally.delays),
            ("tms_run_duration_seconds", "From the start of a run's last attempt to its end.", self._tally.durations),
        ):
            family = HistogramMetricFamily(name, about, labels=("kind",))
            for kind, spans in by_kind.items():
                family.add_metric((kind,), buckets=_cumulated(spans), sum_value=spans.total / 1000)
            yield family


def _cumulated(spans: Spans) -> Sequence[tuple[str, float]]:
    """How many took at most so many seconds."""
    bounds = [*(str(bound / 1000) for bound in BUCKETS), "+Inf"]
    return [(bound, sum(spans.counts[: place + 1])) for place, bound in enumerate(bounds)]
