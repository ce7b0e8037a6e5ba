"""Moments in RFC 3339, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import moment

#: 1970 to 2200.
MOMENTS = st.integers(0, 7_258_118_400_000)


@given(MOMENTS)
def test_what_is_shown_is_parsed_as_the_same_moment(at: int) -> None:
    shown = moment.show(at)
    assert shown is not None
    assert shown.endswith("Z")
    assert len(shown) == len("2026-01-31T09:00:00.000Z")
    assert moment.parse(shown) == at


def test_nothing_is_shown_as_nothing() -> None:
    assert moment.show(None) is None


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01 00:00:00Z", 0),
        ("1970-01-01T08:00:00+08:00", 0),
        ("1969-12-31T19:00:00-05:00", 0),
        ("1970-01-01T05:45:00+05:45", 0),
        ("1970-01-01T00:00:00.5Z", 500),
        ("1970-01-01T00:00:00.001999999Z", 2),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ("2000-01-01T00:00:00-00:00", 946_684_800_000),
    ],
)
def test_every_form_of_the_rfc_is_read(text: str, at: int) -> None:
    assert moment.parse(text) == at


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-01-31", "2026-01-31T09:00:00", "2026-01-31T09:00Z", "20260131T090000Z",
        "2026-01-31T09:00:00+0800", "2026-01-31T09:00:00+08", "2026-W05-6T09:00:00Z", "2026-01-31T09:00:00,5Z",
        "2026-01-31T09:00:00.Z", "2026-01-31T09:00:00.1234567890Z", " 2026-01-31T09:00:00Z", "2026-01-31T09:00:00Z\n",
        "２０２６-01-31T09:00:00Z", "1769850000", "2026-01-31T09:00:00 Z", "2026-01-31T09:00:00Z" * 1000,
    ],
)  # fmt: skip
def test_what_is_not_rfc_3339_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a date|not a date"):
        moment.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T00:00:00Z", "2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
        "2026-01-01T24:00:01Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "0000-01-01T00:00:00Z",
        "2026-01-01T00:00:00+24:00",
    ],
)  # fmt: skip
def test_a_date_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a date and time that exists"):
        moment.parse(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_the_ends_of_the_calendar_are_read(text: str) -> None:
    assert abs(moment.parse(text)) > 10**13
