"""The domain: what a task is, how its runs move, and how the work gets done."""

__version__ = "0.1.0"
