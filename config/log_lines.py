"""Writing many lines at once: locking, looking at and flushing the shared log costs more than the line itself."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence

#: Seconds for which lines are gathered while many come; the first after a quiet time is written at once.
GATHER = 0.1
#: Lines gathered at the most: a process that logs faster than that waits for the file.
MOST_LINES = 1000


class Gathered(logging.Handler):
    """Writes at once while little happens, and many lines together while much does; in order, from any thread.

    A warning, and with it all that came before, is written before the call that logs it returns.
    """

    def __init__(self, targets: Sequence[logging.Handler], *, most: int) -> None:
        """`targets` get the text, which `most` characters bound where it is more than one line."""
        self._renew()
        super().__init__()
        self._targets = targets
        self._most = most
        for target in targets:
            target.setFormatter(_Whole())

    def createLock(self) -> None:  # noqa: N802 - the name is logging's
        """None is needed around `emit`: adding to a deque is atomic, and writing has a lock of its own."""
        self.lock = None

    def _renew(self) -> None:
        # In a forked child neither the writer's thread nor what the parent had gathered is there.
        self._pid = os.getpid()
        self._lines: deque[str] = deque()
        self._writing = threading.Lock()
        self._wanted = threading.Event()
        self._written_at = 0.0
        self._writer: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, now or within GATHER seconds."""
        if self._pid != os.getpid():
            self._renew()
        try:
            self._lines.append(self.format(record))
        except Exception:  # noqa: BLE001 - what logging does with a record that cannot be formatted
            self.handleError(record)
            return
        if record.levelno >= logging.WARNING or self._is_time:
            self.flush()
        elif not self._wanted.is_set():
            self._wanted.set()
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_later, name="log", daemon=True)
                self._writer.start()

    @property
    def _is_time(self) -> bool:
        return time.monotonic() - self._written_at >= GATHER or len(self._lines) >= MOST_LINES

    def _write_later(self) -> None:
        while self._wanted.wait():
            time.sleep(GATHER)
            self._wanted.clear()
            self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        with self._writing:
            self._written_at = time.monotonic()
            text = ""
            while self._lines:
                line = self._lines.popleft()
                if text and len(text) + len(line) > self._most:
                    self._write(text)
                    text = ""
                text = f"{text}\n{line}" if text else line
            if text:
                self._write(text)

    def _write(self, text: str) -> None:
        record = logging.LogRecord("", logging.INFO, "", 0, text, None, None)
        for target in self._targets:
            target.handle(record)

    def close(self) -> None:
        """Write what was gathered, and close what it was written to."""
        self.flush()
        for target in self._targets:
            target.close()
        super().close()


class _Whole(logging.Formatter):
    """The text as it is."""

    def format(self, record: logging.LogRecord) -> str:
        return str(record.msg)
