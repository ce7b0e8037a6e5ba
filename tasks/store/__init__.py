"""The Redis side: every key, every script, nothing else."""

from __future__ import annotations

from tasks.store.live import Watch
from tasks.store.receipts import MOST_KEPT, Busy, Full, Kept, Receipt, Reused
from tasks.store.records import (
    BUCKETS,
    Claim,
    Due,
    DueSchedule,
    Entry,
    FireOrder,
    Letter,
    Look,
    Moved,
    Note,
    Pulse,
    Quotas,
    Spans,
    Tally,
)
from tasks.store.store import Store
from tasks.store.submitting import Batch

__all__ = [
    "BUCKETS",
    "MOST_KEPT",
    "Batch",
    "Busy",
    "Claim",
    "Due",
    "DueSchedule",
    "Entry",
    "FireOrder",
    "Full",
    "Kept",
    "Letter",
    "Look",
    "Moved",
    "Note",
    "Pulse",
    "Quotas",
    "Receipt",
    "Reused",
    "Spans",
    "Store",
    "Tally",
    "Watch",
]
