"""Seats of those who wait: so many in all, and so many for one user."""

from __future__ import annotations

import pytest

from api.seats import Seats
from tasks.errors import TooMuch


def test_one_user_leaves_seats_for_the_others() -> None:
    seats = Seats(4, each=2, leaving=lambda: False)
    for _ in range(2):
        seats.take("olga")
    with pytest.raises(TooMuch) as refused:
        seats.take("olga")
    assert (refused.value.code, refused.value.retry_after) == ("too_many_streams", 5)
    assert seats.try_take("stefan")
    assert seats.try_take("stefan")
    assert not seats.try_take("vera")
    seats.give("olga")
    assert seats.try_take("vera")
    assert not seats.try_take("olga")
