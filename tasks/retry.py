"""Whether a failed attempt is worth another, and after how long."""

from __future__ import annotations

import random
from collections.abc import Callable

from tasks.model import Failed, Retry

#: Failures that follow from a decision, not from the work: never tried again.
DECIDED = frozenset({"stopped", "sandbox_violation", "code_rejected", "address_not_allowed"})


def wait(policy: Retry, failed: Failed, attempt: int, *, chance: Callable[[], float] = random.random) -> int | None:
    """Milliseconds until the attempt after `attempt` (1 for the first), or None where there is none.

    `Retry-After` of an HTTP answer (RFC 9110 §10.2.3) lengthens the wait, up to `max_delay`.
    """
    if attempt > policy.max or failed.code in DECIDED or not _worth(policy, failed):
        return None
    delay = min(policy.max_delay, policy.backoff * policy.factor ** min(attempt - 1, 100))
    delay *= 1 + policy.jitter * (2 * chance() - 1)
    delay = max(delay, failed.retry_after or 0)
    return round(min(delay, policy.max_delay) * 1000)


def _worth(policy: Retry, failed: Failed) -> bool:
    if not policy.on:
        return not failed.permanent
    status = (
        str(failed.value["status_code"]) if isinstance(failed.value, dict) and "status_code" in failed.value else ""
    )
    return failed.code in policy.on or (bool(status) and (status in policy.on or f"{status[0]}xx" in policy.on))
