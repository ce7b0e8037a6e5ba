"""The Celery side: the app, the one task `execute`, the bell. Run as a program, this serves the API."""

from __future__ import annotations

import gc
import json
import logging
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

from celery import Celery, signals
from celery.apps.worker import Worker as CeleryWorker
from celery.worker import strategy
from celery.worker.consumer import Consumer
from kombu import serialization
from kombu.entity import Queue

from config import logs, redis_address
from config.settings import InvalidSettings, Settings, load
from tasks import worker
from tasks.base_tasks import Kind, build_kinds
from tasks.errors import StoreUnavailable
from tasks.model import Priority
from tasks.precedence import OWN
from tasks.store import Letter, Store
from tasks.store.connection import PREFIX

log = logging.getLogger(__name__)

QUEUE = "runs"
EXECUTE = "tasks.execute"
#: In front of every key of kombu's, and what stands there between the name of a queue and a priority.
BELL_PREFIX = f"{PREFIX}bell:"
SEPARATOR = "\x06\x16"
#: Kombu's Redis transport serves the lowest number first.
PRIORITIES = {Priority.HIGH: 0, Priority.NORMAL: 6}
#: Seconds a worker or a beat waits for one answer of Redis; the API is less patient (api/server.py).
PATIENCE = 5.0
#: Seconds between two tries to consume bells.
RETRY_EVERY = 1.0
#: Seconds for which a worker gathers what it tells Flower of bells. Each message costs as much as all of a bell.
TELL_EVERY = 0.5


class PatientConsumer(Consumer):  # type: ignore[misc]  # celery has no types
    """Celery's consumer, which takes its time where nobody waits for it."""

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Say so, and do not try again at once: Redis may answer and yet be unable to serve (a replica)."""
        super().on_connection_error_before_connected(exc)
        time.sleep(RETRY_EVERY)

    def register_with_event_loop(self, hub: Any) -> None:
        """Tell of bells now and then."""
        super().register_with_event_loop(hub)
        hub.call_repeatedly(TELL_EVERY, self._tell)

    def _tell(self) -> None:
        if self.event_dispatcher:
            self.event_dispatcher.flush()

    def on_send_event_buffered(self) -> None:
        """Leave it to the next time; Celery's own would tell before the bell is heard."""


class LoneWorker(CeleryWorker):  # type: ignore[misc]  # celery has no types
    """A worker that does not listen to other workers: the Store is all they share."""

    def __init__(self, *args: Any, **options: Any) -> None:
        ours = {"without_gossip": True, "without_mingle": True, "consumer_cls": PatientConsumer}
        super().__init__(*args, **{**options, **ours})


class TaskApp(Celery):  # type: ignore[misc]  # celery has no types
    """The Celery app with what its processes need, each made on first use."""

    def __init__(self, settings: Settings, *, patience: float = PATIENCE) -> None:
        super().__init__("task_management_system", set_as_current=True)
        self.settings = settings
        self._patience = patience

    @cached_property
    def Worker(self) -> Any:  # noqa: N802 - the name is Celery's
        """Celery's worker without gossip and mingle: we need neither, and Gossip breaks when Redis restarts."""
        return self.subclass_with_self(LoneWorker, name="Worker")

    @cached_property
    def store(self) -> Store:
        """The Store of this process."""
        return Store(self.settings.redis_address, timeout=self._patience)

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """The kinds of this process."""
        return build_kinds(self.settings)

    @cached_property
    def bell(self) -> CeleryBell:
        """The bell of this process."""
        return CeleryBell(self)

    @cached_property
    def runner(self) -> worker.Worker:
        """What runs bells in a worker process."""
        return worker.Worker(store=self.store, kinds=self.kinds, settings=self.settings, ring=self.bell.ring)


class CeleryBell:
    """Rings by a Celery message that holds the id of a run and nothing else.

    The message is what kombu's Redis transport would have written, made once and filled in for each run: one LPUSH
    rings any number of times, and the Store rings in the step that stores a task. Tests hold both against kombu's own,
    and a stock worker consumes them.
    """

    #: What stands for the run and for the delivery in a message that is not filled in yet.
    RUN, DELIVERY = Letter.RUN, "%delivery%"

    def __init__(self, app: TaskApp) -> None:
        self._app = app

    def ring(self, run_ids: Iterable[str], priority: Priority = Priority.NORMAL) -> None:
        """Send one message for each run. Where that fails it is logged: workers look for waiting runs themselves."""
        key, form = self._forms[priority]
        messages = [form.replace(self.RUN, run_id).replace(self.DELIVERY, str(uuid.uuid4())) for run_id in run_ids]
        try:
            self._app.store.push(key, messages)
        except StoreUnavailable as error:
            log.warning("bell not rung, the workers find the run themselves: %s", error)

    @cached_property
    def letters(self) -> Mapping[Priority, Letter]:
        """The messages for the Store to fill in. The delivery is named after the run: there is one of this kind."""
        return {
            priority: Letter(list=key, text=form.replace(self.DELIVERY, f"first-{self.RUN}"))
            for priority, (key, form) in self._forms.items()
        }

    @cached_property
    def _forms(self) -> dict[Priority, tuple[str, str]]:
        return {priority: (self._key(number), self._form(number)) for priority, number in PRIORITIES.items()}

    @staticmethod
    def _key(number: int) -> str:
        return f"{BELL_PREFIX}{QUEUE}{SEPARATOR}{number}" if number else f"{BELL_PREFIX}{QUEUE}"

    def _form(self, number: int) -> str:
        task = self._app.amqp.as_task_v2(self.RUN, EXECUTE, args=(self.RUN,), ignore_result=True, origin="bell")
        content_type, encoding, body = serialization.dumps(task.body, serializer="json")  # type: ignore[no-untyped-call]
        properties = {
            **task.properties,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
            "priority": number,
            "body_encoding": "utf-8",
            "delivery_tag": self.DELIVERY,
        }
        return json.dumps(
            {
                "body": body,
                "content-encoding": encoding,
                "content-type": content_type,
                "headers": task.headers,
                "properties": properties,
            }
        )


def build(settings: Settings, *, patience: float = PATIENCE) -> TaskApp:
    """The app for `settings`; nothing connects before it is used. `patience` in seconds, for one answer of Redis."""
    app = TaskApp(settings, patience=patience)
    app.conf.update(
        broker_url=_broker(settings),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=patience,
        # A Redis that turns replica answers UNBLOCKED and READONLY: kombu takes these for faults of the channel.
        broker_channel_error_retry=True,
        broker_transport_options={
            "global_keyprefix": BELL_PREFIX,
            "sep": SEPARATOR,
            "priority_steps": list(PRIORITIES.values()),
            "socket_timeout": patience,
            "socket_connect_timeout": patience,
            "health_check_interval": 10,
            "retry_on_timeout": False,
            **_sentinel_options(settings, patience),
        },
        result_backend=None,
        task_ignore_result=True,
        task_publish_retry=False,
        task_acks_late=False,
        task_default_queue=QUEUE,
        # A bell that was taken and not heard is rung again, so there is no need for kombu to keep account of it.
        task_queues=[Queue(QUEUE, no_ack=True)],  # type: ignore[no-untyped-call]
        task_create_missing_queues=False,
        task_serializer="json",
        accept_content=["json"],
        worker_pool="threads",
        worker_concurrency=settings.max_concurrent_tasks,
        worker_disable_prefetch=True,
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_proc_alive_timeout=30,
        beat_scheduler="tasks.scheduler:DueScheduler",
        enable_utc=True,
        timezone="UTC",
    )
    app.task(execute, name=EXECUTE, bind=True, ignore_result=True, Strategy=staticmethod(take_bell))
    return app


def _broker(settings: Settings) -> str:
    if not settings.redis_sentinels:
        return settings.redis_address
    password = settings.redis_password.get_secret_value() if settings.redis_password else None
    return redis_address.for_celery(settings.redis_sentinels, password=password, database=settings.redis_db)


def _sentinel_options(settings: Settings, patience: float) -> dict[str, Any]:
    if not settings.redis_sentinels:
        return {}
    password = settings.redis_sentinel_password
    asked = {
        "socket_timeout": patience / 2,
        "socket_connect_timeout": patience / 2,
        # redis-py's own default asks one that is away ten times before it goes on to the next.
        "retry": None,
        **({"password": password.get_secret_value()} if password else {}),
    }
    return {"master_name": settings.redis_sentinel_master, "sentinel_kwargs": asked}


def take_bell(task: Any, app: Celery, consumer: Consumer, **options: Any) -> Callable[..., Any]:
    """Celery's own way from a message to a thread, without acknowledging what nobody keeps account of."""
    take = strategy.default(task, app, consumer, **options)

    def taken(message: Any, body: Any, _ack: Any, reject: Any, callbacks: Any, **more: Any) -> None:
        take(message, body, _acknowledge_nothing, reject, callbacks, **more)

    return taken


def _acknowledge_nothing(*_: Any) -> None:
    pass


def execute(self: Any, run_id: str) -> None:
    """Do the run that a bell was rung for; `run_id` is all that a message says."""
    self.app.runner.hear(str(run_id)[:80])


def _set_up_logs(loglevel: int | str | None = None, **_: Any) -> None:
    command = sys.argv[3] if len(sys.argv) > 3 else "celery"
    process = next((word for word in ("worker", "beat", "flower") if word in sys.argv), command)
    level = logging.getLevelName(loglevel.upper()) if isinstance(loglevel, str) else loglevel
    logs.configure(_app().settings, process, level=level)


def _prepare(**_: Any) -> None:
    OWN.step_back(_app().settings.worker_nice)
    _app().runner.prepare()


def _start(**_: Any) -> None:
    # What there is now stays: a collection that looks at all of it holds everything up for a tenth of a second.
    gc.collect()
    gc.freeze()
    _app().runner.start()


def _drain(**_: Any) -> None:
    _app().runner.drain()


def _close(**_: Any) -> None:
    _app().runner.close()


signals.setup_logging.connect(_set_up_logs)
signals.worker_init.connect(_prepare)
signals.worker_ready.connect(_start)
signals.worker_shutting_down.connect(_drain)
signals.worker_shutdown.connect(_close)

_built: TaskApp | None = None


def _app() -> TaskApp:
    global _built
    if _built is None:
        try:
            _built = build(load())
        except InvalidSettings as error:
            raise SystemExit(f"These settings are wrong:\n{error}") from None
    return _built


def __getattr__(name: str) -> Any:
    """`celery -A celery_app` asks for `app`: made on first use, so that importing reads no environment (PEP 562)."""
    if name == "app":
        return _app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if __name__ == "__main__":
    from api.server import main

    raise SystemExit(main(build))
