"""The domain: what a task is, how its runs move, and how the work gets done."""
