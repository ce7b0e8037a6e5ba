"""Submitting: tasks to be stored as submit.lua takes them, and what its answer means."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from tasks import errors
from tasks.model import Priority, Status
from tasks.store import parse
from tasks.store.deliveries import callback_word
from tasks.store.receipts import Receipt
from tasks.store.records import Entry, Letter, Note, Quotas

#: json.dumps makes one anew for each call that asks for what is not its default.
_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def compact(value: Any) -> str:
    """`value` as JSON without spaces. Raises ValueError for what JSON has no number for."""
    return _compact.encode(value)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Tasks of one owner that are stored together, all or none."""

    entries: Sequence[Entry]
    owner: str
    #: How many runs of each are kept.
    history: int
    quotas: Quotas = field(default_factory=Quotas)
    #: Open; in the same step `answer` is kept there.
    receipt: Receipt | None = None
    answer: str = ""
    #: Goes into the audit log in the same step, unless all was stored before.
    note: Note | None = None
    #: With these the Store rings where few runs wait.
    letters: Mapping[Priority, Letter] | None = None


def words(batch: Batch, ring_at_most: int) -> tuple[str | int, ...]:
    """The arguments of submit.lua."""
    quotas, receipt, note = batch.quotas, batch.receipt, batch.note
    bells = [batch.letters[priority] if batch.letters else None for priority in (Priority.HIGH, Priority.NORMAL)]
    return (
        *(batch.owner, "" if quotas.tasks is None else quotas.tasks),
        *("" if quotas.schedules is None else quotas.schedules, batch.history, ring_at_most),
        *((receipt.key, receipt.token, batch.answer) if receipt else ("", "", "")),
        *((compact([word for pair in note.entry.items() for word in pair]), note.keep) if note else ("", "")),
        *(word for letter in bells for word in ((letter.list, letter.text) if letter else ("", ""))),
        *chain.from_iterable(map(_task, batch.entries)),
    )


def _task(entry: Entry) -> tuple[str | int, ...]:
    task = entry.task
    return (
        *(task.id, task.task_type, task.kind, task.priority, task.created_at),
        *(compact(parse.about(task)), compact(task.spec), compact(task.tags) if task.tags else "[]"),
        *("" if entry.delay is None else entry.delay, "" if task.next_run_at is None else task.next_run_at),
        *("" if task.expires_in is None else round(task.expires_in * 1000), entry.losses),
        "1" if task.status is Status.PAUSED else "",
        callback_word(task.callback),
    )


def told(answer: Any) -> Sequence[tuple[int, bool]]:
    """For each task when it is due, and whether to ring for its first run. Raises TooMuch and ReceiptTaken."""
    if answer[0] == "quota":
        raise _quota_full(*answer[1:])
    if answer[0] == "taken":
        raise errors.ReceiptTaken("Another request with this Idempotency-Key has taken over.")
    return [(int(due), bool(rings)) for due, rings in zip(answer[::2], answer[1::2], strict=True)]


def _quota_full(which: str, size: str) -> errors.TooMuch:
    what = {"tasks": "stored tasks", "schedules": "schedules"}[which]
    text = f"You have {size} {what}, which is all that you may have: delete some, or ask for a larger quota."
    return errors.TooMuch(text, code="quota_exceeded")
