"""The line between a run and whoever watches it."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.report import Report


def test_both_streams_are_kept_apart_and_in_order() -> None:
    report = Report(100)
    for stream, text in (("stdout", "a"), ("stderr", "x"), ("stdout", "b"), ("stdout", "")):
        report.output(stream, text)  # type: ignore[arg-type]
    assert (report.stdout, report.stderr, report.truncated) == ("ab", "x", False)


def test_what_fits_exactly_is_not_truncated() -> None:
    report = Report(3)
    report.output("stdout", "中")
    assert (report.stdout, report.truncated) == ("中", False)


def test_a_character_is_never_cut_in_half() -> None:
    report = Report(4)
    report.output("stdout", "中中")
    assert (report.stdout, report.truncated) == ("中", True)


def test_one_full_stream_leaves_the_other_alone() -> None:
    report = Report(2)
    report.output("stdout", "abc")
    report.output("stderr", "xy")
    assert (report.stdout, report.stderr) == ("ab", "xy")


#: One to four bytes of UTF-8, and halves of surrogate pairs, which have none.
CHARACTERS = "aé中😀\ud800\udfff"


@given(st.lists(st.text(CHARACTERS, max_size=10)), st.integers(0, 20))
def test_whatever_is_printed_stays_within_the_cap_and_can_be_stored(texts: list[str], most: int) -> None:
    report = Report(most)
    for text in texts:
        report.output("stdout", text)
    assert len(report.stdout.encode("utf-8")) <= most


def test_half_of_a_surrogate_pair_is_kept_as_a_question_mark() -> None:
    report = Report(10)
    report.output("stdout", "a\ud800b")
    assert report.stdout == "a?b"


def test_no_room_at_all_keeps_nothing() -> None:
    report = Report(0)
    report.output("stdout", "a")
    assert (report.stdout, report.truncated) == ("", True)


def test_a_stop_calls_each_callback_once() -> None:
    report, called = Report(10), []
    with report.on_stop(lambda: called.append(1)), report.on_stop(lambda: called.append(2)):
        report.stop("stopped")
        report.stop("shutdown")
    assert called == [1, 2]
    assert report.stop_reason == "stopped"


def test_a_stop_that_came_first_is_heard_at_once() -> None:
    report, called = Report(10), []
    report.stop("stopped")
    with report.on_stop(lambda: called.append(1)):
        assert called == [1]
    assert called == [1]


def test_after_the_block_nothing_is_called() -> None:
    report, called = Report(10), []
    with pytest.raises(ZeroDivisionError), report.on_stop(lambda: called.append(1)):
        raise ZeroDivisionError
    report.stop("stopped")
    assert called == []


def test_many_threads_print_without_a_loss() -> None:
    report = Report(1_000_000)
    threads = [
        threading.Thread(target=lambda: [report.output("stdout", "0123456789") for _ in range(500)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert report.stdout == "0123456789" * 4000
    assert not report.truncated
