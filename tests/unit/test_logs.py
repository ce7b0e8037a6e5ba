"""One shared log: whole lines, no forged ones, none lost while several processes write and rotate."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import logs
from config.settings import Settings
from tests.make import make_settings

ROOT = Path(__file__).resolve().parents[2]
ENTRY = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR|CRITICAL) \[[a-z]+\] [\w.]+: ")
log = logging.getLogger("tests.logs")


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = {name: logging.getLogger(name).level for name in logs.QUIET}
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in quiet.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(False)


def written(settings: Settings) -> list[str]:
    logging.getLogger().handlers[0].flush()
    return (settings.log_dir / logs.FILE).read_text(encoding="utf-8").splitlines()


def configured(folder: Path, process: str = "api", *, level: int | None = None, **over: object) -> Settings:
    settings = make_settings(folder, **over)
    logs.configure(settings, process, level=level, console=False)
    return settings


def test_an_entry_is_one_line_with_moment_level_process_and_origin(tmp_path: Path) -> None:
    settings = configured(tmp_path, "worker")
    log.warning("task %s failed: %s", 7, "中文原因 ✓")
    (line,) = written(settings)
    assert ENTRY.match(line)
    assert line.endswith(" WARNING [worker] tests.logs: task 7 failed: 中文原因 ✓")


def test_the_moment_is_in_utc_whatever_the_zone_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = configured(tmp_path)
    log.handle(log.makeRecord("tests.logs", logging.INFO, "f", 1, "x", (), None))
    record = logging.LogRecord("n", logging.INFO, "f", 1, "text", (), None)
    record.created, record.msecs = 1_768_478_400.25, 250.0
    assert logs.OneLine(logs.FORMAT.format(process="api")).format(record).startswith("2026-01-15T12:00:00.250Z INFO ")
    assert len(written(settings)) == 1


@pytest.mark.parametrize(
    "hostile",
    [
        "a\n2026-01-15T12:00:00.000Z ERROR [api] tasks: forged",
        "a\r\nforged",
        "a\rforged",
        "a\u2028forged",
        "a\u2029forged",
        "a\x85forged",
        "a\x0b\x0cforged",
        "a\x1b[2Jforged",
        "a\x00forged",
        "a\u202eforged",
        "a\ud800forged",
        "a\u200bforged",
    ],
)
def test_nobody_can_forge_an_entry_or_paint_the_terminal(tmp_path: Path, hostile: str) -> None:
    settings = configured(tmp_path)
    log.info("task %s submitted", hostile)
    (line,) = written(settings)
    assert "forged" in line
    assert line.isprintable()
    assert "\\" in line


def test_a_traceback_keeps_its_lines_and_stays_with_its_entry(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    try:
        raise ValueError("the reason")
    except ValueError:
        log.exception("it broke")
    lines = written(settings)
    assert lines[0].endswith("it broke")
    assert lines[-1] == "    ValueError: the reason"
    assert sum(bool(ENTRY.match(line)) for line in lines) == 1


@pytest.mark.parametrize("forged", ["x\n2026-01-15T12:00:00.000Z ERROR [api] tasks: forged", "x\r\x1b[2J forged"])
def test_what_an_exception_says_cannot_forge_an_entry(tmp_path: Path, forged: str) -> None:
    settings = configured(tmp_path)
    try:
        raise ValueError(forged)
    except ValueError:
        log.exception("it broke")
    lines = written(settings)
    assert sum(bool(ENTRY.match(line)) for line in lines) == 1
    assert all(line.isprintable() for line in lines)


def test_less_than_the_level_is_not_written(tmp_path: Path) -> None:
    settings = configured(tmp_path, log_level="WARNING")
    log.info("too little")
    log.warning("enough")
    assert [line.rsplit(" ", 1)[1] for line in written(settings)] == ["enough"]


@pytest.mark.parametrize(
    ("setting", "argument", "wanted"),
    [
        ("INFO", None, logging.INFO),
        ("INFO", logging.DEBUG, logging.DEBUG),
        ("INFO", logging.ERROR, logging.INFO),
        ("DEBUG", logging.INFO, logging.DEBUG),
        ("CRITICAL", None, logging.CRITICAL),
        ("CRITICAL", logging.WARNING, logging.WARNING),
    ],
)
def test_the_command_line_makes_it_more_talkative_never_less(
    tmp_path: Path, setting: str, argument: int | None, wanted: int
) -> None:
    configured(tmp_path, level=argument, log_level=setting)
    assert logging.getLogger().level == wanted


def test_chatty_libraries_only_warn_unless_everything_is_wanted(tmp_path: Path) -> None:
    configured(tmp_path)
    assert {logging.getLogger(name).getEffectiveLevel() for name in logs.QUIET} == {logging.WARNING}
    configured(tmp_path, log_level="ERROR")
    assert {logging.getLogger(name).getEffectiveLevel() for name in logs.QUIET} == {logging.ERROR}
    configured(tmp_path, log_level="DEBUG")
    assert {logging.getLogger(name).getEffectiveLevel() for name in logs.QUIET} == {logging.DEBUG}


def test_configured_twice_it_writes_each_entry_once(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    logs.configure(settings, "api", console=False)
    log.info("once")
    assert len(written(settings)) == 1


def test_warnings_of_libraries_are_entries_too(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("deprecated thing", stacklevel=1)
    assert "WARNING [api] py.warnings: " in written(settings)[0]
    assert "deprecated thing" in written(settings)[0]


def test_entries_go_to_the_console_too_unless_it_is_somebody_elses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings(tmp_path)
    logs.configure(settings, "api")
    log.info("said twice")
    logs.configure(settings, "api", console=False)
    log.info("said once")
    assert len(written(settings)) == 2
    assert "said twice" in capsys.readouterr().err


def test_the_log_is_rotated_and_only_so_many_old_ones_are_kept(tmp_path: Path) -> None:
    settings = configured(tmp_path, log_max_bytes=10_000, log_backup_count=2)
    for number in range(600):
        log.info("entry %d %s", number, "x" * 60)
    assert written(settings)[-1].split()[-2] == "599"
    files = sorted(path.name for path in settings.log_dir.iterdir() if not path.name.startswith("."))
    assert files == ["task_manage.log", "task_manage.log.1", "task_manage.log.2"]
    assert all((settings.log_dir / name).stat().st_size < 10_200 for name in files)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    with pytest.raises(OSError, match="logs"):
        configured(tmp_path)


WRITER = """
import logging, sys
from pathlib import Path
from config import logs
from config.settings import load
logs.configure(load(), "writer", console=False)
sys.stdin.readline()
for number in range(300):
    logging.getLogger("w").info("%s %d %s", sys.argv[1], number, "x" * 50)
"""


def test_processes_that_write_and_rotate_at_once_lose_no_entry_and_tear_none(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "LOG_DIR": str(tmp_path),
        "LOG_MAX_BYTES": "20000",
        "LOG_BACKUP_COUNT": "50",
        "PYTHONPATH": str(ROOT),
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(writer)], env=environment, cwd=ROOT, stdin=subprocess.PIPE, text=True
        )
        for writer in range(4)
    ]
    for process in processes:
        process.communicate("go\n", timeout=60)
        assert process.returncode == 0
    files = [path for path in tmp_path.iterdir() if path.name.startswith(logs.FILE)]
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(files) > 4
    assert all(re.fullmatch(ENTRY.pattern + r"[0-3] \d+ x{50}", line) for line in lines)
    seen = [tuple(line.split(": ", 1)[1].split()[:2]) for line in lines]
    assert sorted(seen) == sorted((str(writer), str(number)) for writer in range(4) for number in range(300))


def read(settings: Settings) -> list[str]:
    return (settings.log_dir / logs.FILE).read_text(encoding="utf-8").splitlines()


def test_an_entry_after_a_quiet_time_and_a_warning_are_there_at_once(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    log.info("first")
    assert len(read(settings)) == 1
    for number in range(5):
        log.info("entry %d", number)
    log.warning("last")
    assert [line.split(": ", 1)[1] for line in read(settings)][1:] == [*(f"entry {n}" for n in range(5)), "last"]


def test_gathered_entries_are_written_without_another_one(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    for number in range(100):
        log.info("entry %d", number)
    end = time.monotonic() + 10
    while len(read(settings)) < 100 and time.monotonic() < end:
        time.sleep(0.02)
    assert [int(line.rsplit(" ", 1)[1]) for line in read(settings)] == list(range(100))


def test_entries_of_many_threads_are_each_written_once(tmp_path: Path) -> None:
    settings = configured(tmp_path)

    def write(thread: int) -> None:
        for number in range(200):
            log.info("%d %d", thread, number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = [tuple(map(int, line.split(": ", 1)[1].split())) for line in written(settings)]
    assert sorted(seen) == sorted((thread, number) for thread in range(8) for number in range(200))
    assert [number for thread, number in seen if thread == 3] == list(range(200))


def test_a_forked_child_writes_its_own_entries_and_not_its_parents(tmp_path: Path) -> None:
    code = """
import logging, os
from pathlib import Path
from config import logs
from config.settings import load
logs.configure(load(), "parent", console=False)
log = logging.getLogger("w")
for number in range(50): log.info("parent %d", number)
child = os.fork()
if child == 0:
    for number in range(50): log.info("child %d", number)
    logging.shutdown()
    os._exit(0)
os.waitpid(child, 0)
"""
    environment = {**os.environ, "LOG_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, check=True, timeout=60)
    lines = (tmp_path / logs.FILE).read_text(encoding="utf-8").splitlines()
    seen = sorted(line.split(": ", 1)[1] for line in lines)
    assert seen == sorted(f"{who} {number}" for who in ("parent", "child") for number in range(50))
