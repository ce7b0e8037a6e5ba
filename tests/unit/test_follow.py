"""Following a task over a real Redis: which events there are, in which order, and from any place on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tasks import follow
from tasks.errors import TaskNotFound
from tasks.follow import Event, Follower, Place
from tasks.model import Status
from tasks.store import Claim, Store
from tests.make import end, fire, run_out, submit, take

S = Status


def news(store: Store, task_id: str, start: Place | None = None) -> list[Event]:
    """What a reader who comes now is told at once."""
    follower = Follower(store, task_id, start or Place(), leaving=lambda: False)
    return list(follower._news())


def told(events: list[Event]) -> list[Any]:
    """The events without what is the same in all of them."""
    short = []
    for event in events:
        if event.name == "output":
            short.append((event.data["stream"], event.data["text"]))
        elif event.name == "status":
            short.append((event.data["task_status"], event.data.get("number"), event.data.get("status")))
        else:
            short.append((event.name, event.data["task_status"]))
    return short


def write(store: Store, claim: Claim, stdout: str = "", *, at: int = 0, stderr: str = "", worker: str = "w1") -> bool:
    return store.live.write(claim, worker, (at, stdout), (0, stderr))


def test_a_run_from_its_beginning_to_its_end(store: Store) -> None:
    task = submit(store)
    events = news(store, task.id)
    assert told(events) == [("queued", 1, "queued")]
    claim = take(store)
    write(store, claim, "a\n", stderr="e")
    events = news(store, task.id, events[-1].place)
    assert told(events) == [("running", 1, "running"), ("stdout", "a\n"), ("stderr", "e")]
    end(store, claim, outcome={"result": 1, "stdout": "a\nb\n", "stderr": "e"})
    events = news(store, task.id, events[-1].place)
    assert told(events) == [("stdout", "b\n"), ("succeeded", 1, "succeeded"), ("end", "succeeded")]
    assert events[-1].place.ended
    assert not events[-2].place.ended


def test_who_comes_late_is_told_all_of_it(store: Store) -> None:
    task = submit(store)
    end(store, take(store), status=S.FAILED, reason="code_raised", outcome={"result": None, "stdout": "a"})
    events = news(store, task.id)
    assert told(events) == [("stdout", "a"), ("failed", 1, "failed"), ("end", "failed")]
    assert events[1].data["reason"] == "code_raised"


def test_every_place_continues_without_a_gap_and_without_a_repetition(store: Store) -> None:
    task = submit(store)
    claim = take(store)
    write(store, claim, "一二")
    whole = news(store, task.id)
    for number, event in enumerate(whole):
        assert told(news(store, task.id, follow.place(str(event.place)))) == told(whole[number + 1 :])


def test_a_place_inside_a_character_goes_on_with_the_next_one(store: Store) -> None:
    task = submit(store)
    write(store, take(store), "一二")
    place = Place(task=3, number=1, attempt=1, status=3, stdout=1)
    assert ("stdout", "二") in told(news(store, task.id, place))


def test_a_second_attempt_prints_anew(store: Store) -> None:
    task = submit(store)
    claim = take(store)
    write(store, claim, "first")
    end(store, claim, status=S.FAILED, reason="x", retry_after=0, outcome={"result": None, "stdout": "first"})
    before = news(store, task.id)
    assert told(before)[-2:] == [("retrying", 1, "retrying"), ("stdout", "first")]
    store.due(10)
    again = take(store)
    write(store, again, "second")
    assert told(news(store, task.id, before[-1].place)) == [("running", 1, "running"), ("stdout", "second")]


def test_the_runs_of_a_schedule_follow_one_another(store: Store) -> None:
    task = submit(store, task_type="scheduled", next_run_at=1)
    events = news(store, task.id)
    assert told(events) == [("scheduled", None, None)]
    fire(store, task, overlap="allow", fire=(1, 2))
    for text in ("one", "two"):
        end(store, take(store), outcome={"result": None, "stdout": text})
    assert told(news(store, task.id, events[-1].place)) == [
        ("stdout", "one"),
        ("scheduled", 1, "succeeded"),
        ("stdout", "two"),
        ("scheduled", 2, "succeeded"),
    ]


def test_a_reader_of_a_schedule_begins_with_its_last_run_and_misses_none_after_it(store: Store) -> None:
    task = submit(store, task_type="scheduled", next_run_at=1)
    fire(store, task, overlap="allow", fire=(1, 2))
    end(store, take(store), outcome={"result": None, "stdout": "one"})
    end(store, take(store), outcome={"result": None, "stdout": "two"})
    events = news(store, task.id)
    assert told(events) == [("stdout", "two"), ("scheduled", 2, "succeeded")]
    fire(store, task, overlap="allow", fire=(3, 4))
    for text in ("three", "four"):
        end(store, take(store), outcome={"result": None, "stdout": text})
    assert told(news(store, task.id, events[-1].place)) == [
        ("stdout", "three"),
        ("scheduled", 3, "succeeded"),
        ("stdout", "four"),
        ("scheduled", 4, "succeeded"),
    ]


def test_runs_that_are_no_longer_kept_are_passed_over(store: Store) -> None:
    task = submit(store, task_type="scheduled", next_run_at=1, history=1)
    fire(store, task, overlap="allow", fire=(1,))
    end(store, take(store))
    place = news(store, task.id)[-1].place
    fire(store, task, overlap="allow", fire=(2, 3, 4))
    for _ in range(3):
        end(store, take(store))
    assert told(news(store, task.id, place)) == [("scheduled", 4, "succeeded")]


def test_a_paused_schedule_is_told(store: Store) -> None:
    task = submit(store, task_type="scheduled", next_run_at=1)
    place = news(store, task.id)[-1].place
    store.pause(task.id)
    assert told(news(store, task.id, place)) == [("paused", None, None)]


def test_a_stopped_schedule_ends_the_events(store: Store) -> None:
    task = submit(store, task_type="scheduled", next_run_at=1)
    store.stop(task.id)
    assert told(news(store, task.id))[-1] == ("end", "stopped")


def test_a_deleted_task_ends_the_events(store: Store) -> None:
    task = submit(store)
    follower = Follower(store, task.id, Place(), leaving=lambda: False)
    store.delete(task.id)
    assert told(list(follower._news())) == [("end", "deleted")]


def test_there_are_no_events_of_a_task_that_is_not_there(store: Store) -> None:
    with pytest.raises(TaskNotFound):
        Follower(store, "00000000-0000-7000-8000-000000000000", Place(), leaving=lambda: False)


def test_what_a_lost_worker_printed_is_kept(store: Store) -> None:
    task = submit(store, losses=0)
    write(store, take(store), "so far")
    run_out(store)
    store.reap(10)
    assert store.get(task.id).last_run.stdout == "so far"  # type: ignore[union-attr]
    assert told(news(store, task.id)) == [("stdout", "so far"), ("lost", 1, "lost"), ("end", "lost")]
    store.delete(task.id)
    assert not [key for key in store.connection.command("KEYS", "*") if "stdout" in key]


def test_only_the_worker_that_has_a_run_writes_its_output(store: Store) -> None:
    task = submit(store)
    claim = take(store)
    assert write(store, claim, "mine")
    assert not write(store, claim, "not mine", worker="w2")
    run_out(store)
    store.reap(10)
    assert not write(store, claim, "too late")
    again = take(store)
    assert store.get(task.id).last_run.stdout == ""  # type: ignore[union-attr]
    assert not write(store, claim, "from the attempt before")
    end(store, again)
    assert not write(store, again, "after its end")


def test_writing_the_same_piece_again_changes_nothing(store: Store) -> None:
    task = submit(store)
    claim = take(store)
    for _ in range(2):
        write(store, claim, "ab")
        write(store, claim, "cd", at=2)
    assert store.get(task.id).last_run.stdout == "abcd"  # type: ignore[union-attr]


@pytest.fixture
def events(store: Store) -> Iterator[Any]:
    """Starts readers in threads of their own, and ends them."""
    threads: list[threading.Thread] = []
    over = threading.Event()

    def start(task_id: str) -> list[Event]:
        seen: list[Event] = []
        follower = Follower(store, task_id, Place(), leaving=over.is_set)

        def read() -> None:
            seen.extend(event for event in follower.events() if event)

        threads.append(threading.Thread(target=read))
        threads[-1].start()
        return seen

    start.over, start.threads = over, threads  # type: ignore[attr-defined]
    yield start
    over.set()
    for thread in threads:
        thread.join(10)


def test_a_reader_is_woken_by_what_happens(store: Store, events: Any) -> None:
    task = submit(store)
    seen = events(task.id)
    claim = take(store)
    for at in range(20):
        write(store, claim, "x", at=at)
    end(store, claim, outcome={"result": None, "stdout": "x" * 20})
    events.threads[0].join(10)
    assert not events.threads[0].is_alive()
    assert "".join(event.data["text"] for event in seen if event.name == "output") == "x" * 20
    assert seen[-1].name == "end"


def test_readers_go_when_the_service_ends(store: Store, events: Any) -> None:
    task = submit(store, task_type="delayed")
    events(task.id)
    events.over.set()
    events.threads[0].join(5)
    assert not events.threads[0].is_alive()


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.2.3.4.5", "a.1.1.1.1.1", "1.1.1.1.1.-1", "1.1.1.1.1.1.END", "１.1.1.1.1.1", "1.1.1.1.1.99999999999"],
)
def test_what_is_no_place(text: str) -> None:
    assert follow.place(text) is None


@pytest.mark.parametrize("ended", [True, False])
def test_a_place_reads_back(ended: bool) -> None:
    place = Place(task=1, number=2, attempt=3, status=4, stdout=5, stderr=6, ended=ended)
    assert follow.place(str(place)) == place
