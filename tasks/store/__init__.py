"""The Redis side: every key, every script, nothing else."""

from __future__ import annotations

from tasks.store.store import Claim, Due, DueSchedule, FireOrder, Moved, Pulse, Quotas, Store

__all__ = ["Claim", "Due", "DueSchedule", "FireOrder", "Moved", "Pulse", "Quotas", "Store"]
