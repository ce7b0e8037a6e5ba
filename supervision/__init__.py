"""How `start.py` runs the whole service: checks, the embedded Redis, child processes and their supervisor."""
