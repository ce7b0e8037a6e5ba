"""The Redis side: every key, every script, nothing else."""

from __future__ import annotations

from tasks.store.receipts import Busy, Kept, Receipt, Reused
from tasks.store.records import Claim, Due, DueSchedule, Entry, FireOrder, Moved, Pulse, Quotas
from tasks.store.store import Store

__all__ = [
    "Busy",
    "Claim",
    "Due",
    "DueSchedule",
    "Entry",
    "FireOrder",
    "Kept",
    "Moved",
    "Pulse",
    "Quotas",
    "Receipt",
    "Reused",
    "Store",
]
