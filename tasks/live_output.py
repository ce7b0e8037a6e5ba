"""Live output: what runs print goes into Redis while they go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tasks.errors import StoreUnavailable
from tasks.report import Report, Stream
from tasks.store import Claim
from tasks.store.live import Live

#: Seconds between two looks at what was printed. A run that ends within one costs nothing here.
INTERVAL = 0.1


@dataclass(eq=False)
class Tail:
    """How much of what an attempt printed is in Redis."""

    claim: Claim
    report: Report
    _pieces: dict[Stream, int] = field(default_factory=lambda: {"stdout": 0, "stderr": 0})
    _bytes: dict[Stream, int] = field(default_factory=lambda: {"stdout": 0, "stderr": 0})

    def send(self, live: Live, worker: str) -> None:
        """Write what is new. Raises StoreUnavailable; the next call then writes the same again, and more."""
        counts: dict[Stream, int] = {}
        texts: dict[Stream, str] = {}
        for stream, pieces in self._pieces.items():
            counts[stream], texts[stream] = self.report.pieces(stream, pieces)
        if not any(texts.values()):
            return
        before = self._bytes
        live.write(self.claim, worker, (before["stdout"], texts["stdout"]), (before["stderr"], texts["stderr"]))
        self._pieces = counts
        self._bytes = {stream: before[stream] + len(text.encode()) for stream, text in texts.items()}


class LiveOutput:
    """One thread that writes the output of every run of a worker, and sleeps while nothing is printed."""

    def __init__(self, live: Live, worker: str, tails: Callable[[], Iterable[Tail]]) -> None:
        """`tails` are those of the runs in progress."""
        self._live, self._worker, self._tails = live, worker, tails
        self._news = threading.Event()
        self._closed = False
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def printed(self) -> None:
        """Say that a run has printed; returns at once."""
        if not self._news.is_set():
            self._news.set()
            self._start()

    def close(self) -> None:
        """End the thread. What is not written yet comes with the outcomes."""
        self._closed = True
        self._news.set()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="live-output", daemon=True)
                self._thread.start()

    def _write(self) -> None:
        while not self._closed:
            self._news.wait()
            time.sleep(INTERVAL)
            self._news.clear()
            try:
                for tail in list(self._tails()):
                    tail.send(self._live, self._worker)
            except StoreUnavailable:
                self._news.set()
