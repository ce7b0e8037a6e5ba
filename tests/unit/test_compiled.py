"""What is known of sources: bounded in number and in memory, whatever there is to know of them."""

from __future__ import annotations

import tracemalloc

from tasks.sandbox.compiled import MAX_BYTES, MAX_ENTRIES, Compiled, CompiledSources
from tasks.sandbox.inputs import problem


def faulty(number: int) -> Compiled:
    """A source with as many problems as are told."""
    found = [problem("/function_code", "not_allowed", f"{number} {line} " + "x" * 500, line, 1) for line in range(100)]
    return Compiled(problems=tuple(found))


def test_the_oldest_is_forgotten_and_what_was_asked_for_is_young_again() -> None:
    known = CompiledSources()
    for number in range(MAX_ENTRIES):
        known.keep(f"source {number}", Compiled(functions=frozenset({"f"}), code=b"code"))
    assert known.get("source 0") is not None
    known.keep("one more", Compiled(code=b"code"))
    assert known.get("source 0") is not None
    assert known.get("source 1") is None


def test_sources_full_of_problems_take_no_more_memory_than_code_may() -> None:
    known = CompiledSources()
    tracemalloc.start()
    try:
        for number in range(MAX_ENTRIES):
            known.keep(f"source {number}", faulty(number))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1.2 * MAX_BYTES
    assert known.get(f"source {MAX_ENTRIES - 1}") == faulty(MAX_ENTRIES - 1)
    assert known.get("source 0") is None
