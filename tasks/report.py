"""The line between a run and whoever watches it: output goes out, a stop comes in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

Stream = Literal["stdout", "stderr"]


class Report:
    """Collects what one attempt prints and tells it when to stop. Safe to use from several threads.

    The kinds write to it and register how they are interrupted; the worker reads it and calls `stop`.
    """

    def __init__(
        self,
        max_output_bytes: int,
        *,
        idempotency_key: str | None = None,
        printed: Callable[[], None] | None = None,
        mask: Callable[[str], str] = str,
        confidential: bool = False,
    ) -> None:
        """Keeps `max_output_bytes` of each stream; `printed` is called when there is more, and must be quick."""
        self._max = max_output_bytes
        self._printed = printed
        self._mask = mask
        #: Whether the work was given secrets; `mask` hides them in what it prints.
        self.confidential = confidential
        #: Names the run to the other side, where the same work may be asked for more than once.
        self.idempotency_key = idempotency_key
        self._lock = threading.Lock()
        self._kept: dict[Stream, list[str]] = {"stdout": [], "stderr": []}
        self._size: dict[Stream, int] = {"stdout": 0, "stderr": 0}
        self._callbacks: list[Callable[[], None]] = []
        self._stop_reason: str | None = None
        #: True once output was dropped because a stream was full.
        self.truncated = False
        #: What the attempt cost, as far as its kind can tell: `wall` and `cpu` in seconds, `peak_memory` in bytes.
        self.usage: dict[str, Any] = {}

    @property
    def max_output_bytes(self) -> int:
        """Bytes of UTF-8 kept of each stream."""
        return self._max

    @property
    def stdout(self) -> str:
        """What was written to stdout so far, at most `max_output_bytes` of UTF-8."""
        return "".join(self._kept["stdout"])

    @property
    def stderr(self) -> str:
        """What was written to stderr so far, at most `max_output_bytes` of UTF-8."""
        return "".join(self._kept["stderr"])

    @property
    def stop_reason(self) -> str | None:
        """Why the attempt must end now (`stopped`, `shutdown`, `lease_lost`), or None while it may go on."""
        return self._stop_reason

    def output(self, stream: Stream, text: str) -> None:
        """Keep `text`; past the cap the rest is dropped and `truncated` is set. Never raises for volume."""
        data = self._mask(text).encode("utf-8", "replace")
        with self._lock:
            room = self._max - self._size[stream]
            if len(data) > room:
                self.truncated = True
                data = data[: max(room, 0)]
            self._size[stream] += len(data)
            # Decoded again even where nothing was cut: half of a surrogate pair could not be stored.
            if kept := data.decode("utf-8", "ignore"):
                self._kept[stream].append(kept)
        if self._printed:
            self._printed()

    def pieces(self, stream: Stream, after: int) -> tuple[int, str]:
        """How many pieces of output there are, and the text of those after the first `after`."""
        kept = self._kept[stream]
        count = len(kept)
        return count, "".join(kept[after:count])

    def stop(self, reason: str) -> None:
        """Ask the attempt to end: every registered callback is called once, in this thread. Later calls do nothing."""
        with self._lock:
            if self._stop_reason is not None:
                return
            self._stop_reason = reason
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()

    @contextmanager
    def on_stop(self, callback: Callable[[], None]) -> Iterator[None]:
        """While the block runs, `callback` is how it is interrupted; called at once if a stop came already.

        `callback` must be quick, must not raise, and may be called from any thread.
        """
        with self._lock:
            self._callbacks.append(callback)
            already = self._stop_reason is not None
        try:
            if already:
                callback()
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)
