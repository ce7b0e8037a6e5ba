"""Deliveries in Redis: the news of runs that ended, on their way to those who asked for it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from tasks import errors
from tasks.model import Callback, Run, Status
from tasks.store import parse
from tasks.store.connection import PREFIX, Connection
from tasks.store.receipts import Receipt


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    #: For its first try, for a further one, or for the answer to one that goes on.
    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Which of his signing secrets an owner uses."""

    number: int = 1
    #: Milliseconds; None: it is the first.
    since: int | None = None


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The news of a run, claimed for a try."""

    run: Run
    #: Of the task.
    name: str
    task_type: str
    kind: str
    tags: Sequence[str]
    owner: str
    callback: Callback
    #: 1 for the first of all; and of those since it was asked for.
    number: int
    round: int
    #: By Redis' clock, milliseconds.
    now: int
    generation: Generation
    #: Whose turns are counted together: its owner and where it goes.
    receiver: str


@dataclass(frozen=True, kw_only=True)
class DeliveryLog:
    """What became of the news of a run; moments in milliseconds."""

    run_id: str
    run_status: Status
    run_finished_at: int | None
    status: DeliveryStatus
    #: Why it failed.
    reason: str | None
    #: When the next try is due; while one goes on, when that one counts as lost.
    due_at: int | None
    #: `number`, `at`, `duration` (s), `status_code` and `error` of each try that is over, oldest first.
    tries: Sequence[Mapping[str, Any]]
    tries_made: int


class Deliveries:
    """Every verb is atomic; each raises StoreUnavailable where Redis is away."""

    def __init__(self, connection: Connection) -> None:
        self._redis = connection

    def claim(self, *, lease: int, most: int, busy: Collection[str], busy_owners: Collection[str]) -> Delivery | None:
        """Take a delivery that is due, for `lease` milliseconds; None where there is none.

        `most` tries are made; `busy` receivers and `busy_owners` get none now.
        """
        answer = self._redis.run("callback_claim", lease, most, _flags(busy), _flags(busy_owners))
        if not answer:
            return None
        receiver, number, in_round, now, owner, generation, changed, task_type, kind, about, run = answer
        told = json.loads(about)
        callback = parse.callback(told["callback"])
        assert callback is not None  # noqa: S101 - the script looked
        return Delivery(
            run=parse.run(run),
            name=told["name"],
            task_type=task_type,
            kind=kind,
            tags=tuple(told.get("tags", ())),
            owner=owner,
            callback=callback,
            number=number,
            round=in_round,
            now=int(now),
            generation=Generation(number=int(generation), since=int(changed) if changed else None),
            receiver=receiver,
        )

    def delivered(self, delivery: Delivery, told: Mapping[str, Any]) -> bool:
        """The receiver has it; `told` is the try. Whether that counted: the claim may have run out meanwhile."""
        return self._settle(delivery, "delivered", "", told, 0)

    def failed(self, delivery: Delivery, reason: str, told: Mapping[str, Any]) -> bool:
        """Nobody tries it any more."""
        return self._settle(delivery, "failed", reason, told, 0)

    def again(self, delivery: Delivery, after: int, told: Mapping[str, Any]) -> bool:
        """It is tried again `after` so many milliseconds."""
        return self._settle(delivery, "waiting", "", told, after)

    def release(self, delivery: Delivery) -> bool:
        """The try was broken off and does not count; whoever can makes it again."""
        return self._settle(delivery, "released", "", {}, 0)

    def _settle(self, delivery: Delivery, state: str, reason: str, told: Mapping[str, Any], after: int) -> bool:
        text = json.dumps({"number": delivery.number, "at": delivery.now, **told}, ensure_ascii=False)
        words = (delivery.run.id, delivery.number, state, reason, text, after)
        return bool(self._redis.run("callback_settle", *words))

    def list(
        self, task_id: str, *, limit: int, below: int | None = None
    ) -> tuple[Sequence[DeliveryLog], int | None, int]:
        """Those of a task's runs with numbers below `below`, newest first; where to go on; how many there are.

        Raises TaskNotFound.
        """
        answer = self._redis.run("callback_list", task_id, "" if below is None else below, limit)
        if not answer:
            raise errors.TaskNotFound(f"There is no task {task_id[:64]}.")
        total, following, found = answer
        return [_log(each) for each in found], int(following) if following else None, total

    def deliver_again(self, run_id: str, receipt: Receipt | None = None) -> str | None:
        """Make it due now: `due`, or `none` where its task has no callback any more; None where there is none.

        `receipt` keeps that it was done.
        """
        answer = self._redis.run("callback_again", run_id, receipt.key if receipt else "")
        return str(answer) if answer else None

    def generation(self, owner: str) -> Generation:
        """Which signing secret of his an owner uses."""
        kept = self._redis.command("HGET", f"{PREFIX}callback_secrets", owner)
        if not kept:
            return Generation()
        number, since = kept.split(" ")
        return Generation(number=int(number), since=int(since))

    def rotate(self, owner: str, receipt: Receipt | None = None) -> Generation:
        """Make the next generation the one in use; `receipt` keeps that it was done."""
        self._redis.run("callback_rotate", owner, receipt.key if receipt else "")
        return self.generation(owner)


def callback_word(callback: Callback | None) -> str:
    """A callback as the scripts look at it: events, separated by commas, and the origin; empty for none."""
    return f"{','.join(callback.events)} {origin(callback.url)}" if callback else ""


def origin(url: str) -> str:
    """Scheme, host and port of a URL that was accepted."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


def _flags(names: Collection[str]) -> str:
    return json.dumps(dict.fromkeys(names, True))


def _log(answer: Sequence[Any]) -> DeliveryLog:
    run_id, status, finished, flat, tries = answer
    fields = parse.pairs(flat)
    due = fields.get("due")
    return DeliveryLog(
        run_id=run_id,
        run_status=Status(status),
        run_finished_at=int(finished) if finished else None,
        status=DeliveryStatus(fields["state"]),
        reason=fields.get("reason") or None,
        due_at=int(due) if due else None,
        tries=tuple(json.loads(each) for each in tries),
        tries_made=int(fields["tries"]),
    )
