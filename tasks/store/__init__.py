"""The Redis side: every key, every script, nothing else."""

from __future__ import annotations

from tasks.store.records import Claim, Due, DueSchedule, FireOrder, Moved, Pulse, Quotas
from tasks.store.store import Store

__all__ = ["Claim", "Due", "DueSchedule", "FireOrder", "Moved", "Pulse", "Quotas", "Store"]
