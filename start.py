#!/usr/bin/env python3
"""Runs the whole service: Redis where none answers, API, worker, beat and Flower, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def main() -> int:
    """Start everything and stay until a signal comes; the exit code."""
    options = _options()
    if sys.version_info < (3, 11):  # noqa: UP036 - an older one gets this far, and should hear it in words
        print(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}.", file=sys.stderr)
        return 1
    os.chdir(ROOT)
    sys.path[:0] = [] if str(ROOT) in sys.path else [str(ROOT)]
    from supervision.preflight import missing_packages

    missing = missing_packages(ROOT / "pyproject.toml")
    if missing:
        print(_how_to_install(missing), file=sys.stderr)
        return 1
    if options.command == "create-admin":
        from access.command import create_admin

        return create_admin(options.name)
    from supervision.command import run

    return run(ROOT, dict(os.environ), verbose=options.verbose)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python start.py",
        description="Runs Redis (where none answers), the API, the worker, beat and Flower until Ctrl-C or SIGTERM.",
        epilog="Settings come from the environment; config/settings.py lists them. "
        "Logs are in LOG_DIR/task_manage.log, data and run/*.pid in DATA_DIR.",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="show everything the parts print, not only warnings and errors"
    )
    commands = parser.add_subparsers(dest="command", title="other commands", metavar="")
    admin = commands.add_parser(
        "create-admin",
        help="make an administrator, or give one a new password",
        description="Asks for a password, or takes it from standard input. The service, or at least Redis, must run.",
    )
    admin.add_argument("name", nargs="?", help="by default ADMIN_USERNAME")
    return parser.parse_args()


def _how_to_install(missing: list[str]) -> str:
    return (
        f"These packages are missing: {', '.join(missing)}.\n"
        "Install and start with one command:\n"
        "  make start\n"
        "or install with these two:\n"
        "  python3 -m venv .venv\n"
        "  .venv/bin/python -m pip install --require-hashes -r requirements.txt\n"
        "and then start with:\n"
        "  .venv/bin/python start.py"
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
