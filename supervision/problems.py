"""What stops `start.py` before anything runs."""

from __future__ import annotations


class CannotStart(Exception):
    """The service cannot be started; the message says what to do about it."""
