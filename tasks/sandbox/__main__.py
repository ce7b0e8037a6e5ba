"""`python -m tasks.sandbox --self-test`: which layers of the sandbox hold on this machine, each one tried."""

from __future__ import annotations

import argparse
import sys

from tasks.sandbox.selftest import self_test


def _show(line: str) -> None:
    sys.stdout.write(line + "\n")


def main() -> int:
    """0 if code can be run safely here, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m tasks.sandbox", description=__doc__)
    parser.add_argument("--self-test", action="store_true", required=True, help="try every layer and print a table")
    parser.parse_args()
    return 0 if self_test(_show) else 1


if __name__ == "__main__":
    sys.exit(main())
