"""Threads for calls: reused while they are free, never waited for while they are not, and gone when nobody calls."""

from __future__ import annotations

import threading
import time

from tasks.http_threads import CallThreads


def _ended(thread: threading.Thread) -> bool:
    thread.join(20)
    return not thread.is_alive()


def test_a_free_thread_makes_the_next_call_and_ends_when_there_is_none() -> None:
    threads, used = CallThreads(idle=5), []
    for _ in range(5):
        done = threading.Event()
        threads.run(lambda done=done: (used.append(threading.current_thread()), done.set()))  # type: ignore[misc]
        assert done.wait(10)
        while threads.busy:
            time.sleep(0.001)
    assert len(set(used)) == 1
    assert _ended(used[0])


def test_a_thread_that_hangs_keeps_no_call_waiting_and_is_used_again_when_it_comes_back() -> None:
    threads, back, used = CallThreads(idle=5), threading.Event(), []
    threads.run(lambda: (used.append(threading.current_thread()), back.wait(30)))  # type: ignore[misc, arg-type]
    done = threading.Event()
    threads.run(done.set)
    assert done.wait(10)
    while threads.busy > 1:
        time.sleep(0.001)
    back.set()
    while threads.busy:
        time.sleep(0.001)
    again = threading.Event()
    threads.run(lambda: (used.append(threading.current_thread()), again.set()))  # type: ignore[misc]
    assert again.wait(10)
    assert used[0] is used[1]
    assert all(_ended(thread) for thread in used)


def test_many_calls_at_the_end_of_a_threads_patience_are_all_made() -> None:
    threads, made = CallThreads(idle=0.1), []
    for _ in range(10):
        starts = [threading.Thread(target=threads.run, args=(lambda: made.append(1),)) for _ in range(20)]
        for start in starts:
            start.start()
        for start in starts:
            start.join()
        time.sleep(0.099)  # about when they leave
    while threads.busy:
        time.sleep(0.001)
    assert len(made) == 200
