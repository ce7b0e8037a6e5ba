"""Task ids: valid, in order, and comparable with moments."""

from __future__ import annotations

import threading
import time
import uuid

import pytest

from tasks import identifier


def test_an_id_is_a_uuid_of_version_7_and_the_rfc_variant() -> None:
    made = uuid.UUID(identifier.new_id())
    assert made.version == 7
    assert made.variant == uuid.RFC_4122


def test_later_ids_sort_after_earlier_ones_however_fast_they_are_made() -> None:
    made = [identifier.new_id() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_of_many_threads_are_all_different_and_in_order_within_each() -> None:
    made: list[list[str]] = [[] for _ in range(8)]

    def make(mine: list[str]) -> None:
        mine.extend(identifier.new_id() for _ in range(2000))

    threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in made)
    assert len({one for mine in made for one in mine}) == 16_000


def test_an_id_tells_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    moment = identifier.moment_of(identifier.new_id())
    # A burst of ids may run ahead of the clock by what it needs to stay in order.
    assert before <= moment <= time.time_ns() // 1_000_000 + 100


def test_the_beginning_of_a_moment_lies_between_the_ids_before_and_after_it() -> None:
    made = identifier.new_id()
    moment = identifier.moment_of(made)
    assert identifier.first_at(moment) <= made < identifier.first_at(moment + 1)


@pytest.mark.parametrize("moment", [-(10**20), -1, 0, 2**48, 10**30])
def test_a_moment_out_of_range_still_bounds(moment: int) -> None:
    begin = identifier.first_at(moment)
    assert len(begin) == 13
    assert (begin > identifier.new_id()) is (moment > 0)


def test_only_ids_as_we_write_them_are_ids() -> None:
    made = identifier.new_id()
    assert identifier.is_id(made)
    for other in ("", "x", made.upper(), made.replace("-", ""), f"{{{made}}}", f" {made}", f"urn:uuid:{made}",
                  made + "\n", made[:-1], "١" * 36, "../" + made, "a" * 100_000):  # fmt: skip
        assert not identifier.is_id(other), other[:50]
