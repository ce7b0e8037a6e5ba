"""From a user's source to a code object, or to everything that is wrong with it. Runs in hardened children only."""

from __future__ import annotations
import __future__

import ast
import sys
from collections.abc import Mapping
from typing import Any

from tasks.sandbox.names import FILENAME
from tasks.sandbox.policy import Policy
from tasks.sandbox.problems import Problem

#: Deep enough for long sums of ordinary code; deeper source is refused as too complex.
COMPILE_RECURSION = 6000


class Compiler:
    """Compiles sources under one set of modules and builtins."""

    def __init__(self, exports: Mapping[str, frozenset[str]], builtin_names: frozenset[str]) -> None:
        self._exports = exports
        self._builtin_names = builtin_names

    def compile(self, source: str) -> tuple[Any, list[str], list[Problem]]:
        """The code object (None if there are problems), the functions at top level, and the problems."""
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(COMPILE_RECURSION)
        try:
            return self._compile(source)
        except SyntaxError as error:
            return None, [], [_syntax_problem(error)]
        except (RecursionError, MemoryError):
            return (
                None,
                [],
                [Problem("code_too_complex", "The code nests too deeply; split it into smaller parts.", 1, 1)],
            )
        except (ValueError, OverflowError, UnicodeError) as error:
            return None, [], [Problem("syntax_error", f"The code cannot be read: {error}.", 1, 1)]
        finally:
            sys.setrecursionlimit(before)

    def _compile(self, source: str) -> tuple[Any, list[str], list[Problem]]:
        tree = ast.parse(source.removeprefix("\ufeff"), FILENAME)
        functions = _top_level_functions(tree)
        policy = Policy(self._exports, self._builtin_names)
        tree = policy.examine(tree)
        if policy.problems:
            return None, functions, policy.problems
        flags = __future__.annotations.compiler_flag
        return compile(tree, FILENAME, "exec", flags=flags, dont_inherit=True), functions, []


def _top_level_functions(tree: ast.Module) -> list[str]:
    found: list[str] = []
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        statement = pending.pop()
        if isinstance(statement, ast.FunctionDef):
            found.append(statement.name)
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            for part in ("body", "orelse", "finalbody"):
                pending.extend(getattr(statement, part, ()))
            for handler in getattr(statement, "handlers", ()):
                pending.extend(handler.body)
    return found


def _syntax_problem(error: SyntaxError) -> Problem:
    return Problem(
        "syntax_error", f"Python cannot read this: {error.msg}.", error.lineno or 1, max(error.offset or 1, 1)
    )
