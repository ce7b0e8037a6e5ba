"""Whether and when a failed attempt is tried again."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.model import Failed, Retry
from tasks.retry import DECIDED, wait


def failed(**over: Any) -> Failed:
    return Failed(**{"code": "code_raised", "message": "It failed.", "permanent": False, **over})


def test_without_a_policy_there_is_no_second_attempt() -> None:
    assert wait(Retry(), failed(), 1) is None


def test_there_are_as_many_further_attempts_as_the_policy_says() -> None:
    policy = Retry(max=2, jitter=0)
    assert [wait(policy, failed(), attempt) is not None for attempt in (1, 2, 3, 4)] == [True, True, False, False]


def test_each_wait_is_longer_by_the_factor_up_to_the_longest() -> None:
    policy = Retry(max=10, backoff=2, factor=3, max_delay=30, jitter=0)
    assert [wait(policy, failed(), attempt) for attempt in (1, 2, 3, 4, 5)] == [2000, 6000, 18000, 30000, 30000]


def test_a_backoff_of_zero_tries_again_at_once() -> None:
    assert wait(Retry(max=1, backoff=0, jitter=1), failed(), 1) == 0


def test_very_many_attempts_do_not_overflow() -> None:
    assert wait(Retry(max=10_000, backoff=86_400, factor=10, max_delay=60, jitter=0), failed(), 9999) == 60_000


@pytest.mark.parametrize(("chance", "expected"), [(0.0, 5000), (0.5, 10_000), (1.0, 15_000)])
def test_jitter_spreads_the_wait_to_both_sides(chance: float, expected: int) -> None:
    assert wait(Retry(max=1, backoff=10, jitter=0.5), failed(), 1, chance=lambda: chance) == expected


def test_jitter_never_waits_longer_than_the_longest_wait() -> None:
    assert wait(Retry(max=1, backoff=10, max_delay=10, jitter=1), failed(), 1, chance=lambda: 1.0) == 10_000


def test_a_permanent_failure_is_not_tried_again() -> None:
    assert wait(Retry(max=5), failed(permanent=True), 1) is None


def test_a_named_code_is_tried_again_even_if_permanent_and_others_are_not() -> None:
    policy = Retry(max=5, on=("code_raised", "timed_out"), jitter=0)
    assert wait(policy, failed(permanent=True), 1) == 1000
    assert wait(policy, failed(code="memory_exceeded"), 1) is None


@pytest.mark.parametrize(
    ("on", "status", "again"),
    [
        (("503",), 503, True),
        (("503",), 500, False),
        (("5xx",), 500, True),
        (("5xx",), 404, False),
        (("4xx", "5xx"), 429, True),
        (("unexpected_status",), 418, True),
    ],
)
def test_http_statuses_and_classes_can_be_named(on: tuple[str, ...], status: int, again: bool) -> None:
    answer = failed(code="unexpected_status", permanent=True, value={"status_code": status})
    assert (wait(Retry(max=1, on=on), answer, 1) is not None) is again


@pytest.mark.parametrize("code", sorted(DECIDED))
def test_a_decision_is_never_tried_again_whatever_the_policy_names(code: str) -> None:
    assert wait(Retry(max=5, on=(code,)), failed(code=code), 1) is None


def test_retry_after_lengthens_the_wait_but_not_beyond_the_longest() -> None:
    policy = Retry(max=3, backoff=1, max_delay=60, jitter=0)
    assert wait(policy, failed(retry_after=7.5), 1) == 7500
    assert wait(policy, failed(retry_after=0.1), 1) == 1000
    assert wait(policy, failed(retry_after=1e9), 1) == 60_000
