"""Logs: every process writes whole lines to one shared, rotating file, and to its own stderr."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from concurrent_log_handler import ConcurrentRotatingFileHandler

from config.log_lines import Gathered
from config.settings import Settings

FILE = "task_manage.log"
FORMAT = "%(asctime)s %(levelname)s [{process}] %(name)s: %(message)s"
#: Libraries that say at INFO what our own lines say better.
QUIET = ("celery.app.trace", "celery.worker.strategy", "urllib3", "amqp", "kombu")


#: Characters written together at the most, and as a share of LOG_MAX_BYTES, so that files keep their size.
MOST_TOGETHER = 65_536
SHARE_TOGETHER = 100


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


class OneLine(logging.Formatter):
    """Keeps an entry on one line, and indents the traceback below it, so that nobody can forge an entry."""

    #: The last second that was written, and its text: most lines come in the same.
    _second = (-1, "")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - logging's
        """The time in UTC, with milliseconds."""
        second, text = self._second
        if second != int(record.created):
            second = int(record.created)
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = (second, text)
        return f"{text}.{int(record.msecs):03d}Z"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """The entry, with control characters escaped."""
        record.message = _printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name is logging's
        """The traceback, indented: the text of an exception may hold anything, also what looks like an entry."""
        return "\n".join(f"    {_printable(line)}" for line in super().formatException(ei).split("\n"))


def configure(settings: Settings, process: str, *, level: int | None = None, console: bool = True) -> None:
    """Send this process's logs to LOG_DIR/task_manage.log and, with `console`, to stderr.

    `process` names it in every line; `level` makes it more talkative than LOG_LEVEL, never less.
    Raises OSError where LOG_DIR cannot be written.
    """
    settings.log_dir.mkdir(parents=True, exist_ok=True)
    file = ConcurrentRotatingFileHandler(
        str(settings.log_dir / FILE),
        maxBytes=settings.log_max_bytes,
        backupCount=settings.log_backup_count,
        encoding="utf-8",
    )
    targets: list[logging.Handler] = [file, logging.StreamHandler(sys.stderr)] if console else [file]
    handler = Gathered(targets, most=min(MOST_TOGETHER, settings.log_max_bytes // SHARE_TOGETHER))
    handler.setFormatter(OneLine(FORMAT.format(process=process)))
    wanted = min(logging.getLevelName(settings.log_level), level or logging.CRITICAL)
    _spare_what_is_not_told()
    root = logging.getLogger()
    for replaced in root.handlers:
        if isinstance(replaced, Gathered):
            replaced.close()
    root.handlers[:] = [handler]
    root.setLevel(wanted)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(wanted, logging.WARNING) if wanted > logging.DEBUG else wanted)
    logging.captureWarnings(True)


def _spare_what_is_not_told() -> None:
    """Do not find out what FORMAT does not tell: the optimizations that the documentation of logging describes."""
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
