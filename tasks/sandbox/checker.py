"""A child that compiles a source and says what came of it. It runs nothing of it."""

from __future__ import annotations

import json
import marshal

from tasks.sandbox import wire
from tasks.sandbox.child import Child
from tasks.sandbox.compiler import Compiler
from tasks.sandbox.output import send
from tasks.sandbox.problems import MAX_PROBLEMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tasks.sandbox.harden import Hardening
    from tasks.sandbox.namespace import Namespace

#: What is compiled for practice.
PRACTICE = "def f(x):\n    return [x]\n"


class Checker(Child):
    """Its request is the source, in UTF-8."""

    def __init__(self, hardening: Hardening, namespace: Namespace) -> None:
        super().__init__(hardening)
        self._compiler = Compiler(namespace.exports, namespace.builtin_names)

    def sample(self) -> bytes:
        """A request that does what most do."""
        return PRACTICE.encode()

    def warm_up(self) -> None:
        """Compile a little."""
        self._compiler.compile(PRACTICE)

    def serve(self, request: bytes) -> None:
        """Say the functions and the code, or the problems."""
        code, functions, problems = self._compiler.compile(request.decode())
        if code is None:
            told = [tuple(problem) for problem in problems[:MAX_PROBLEMS]]
            send(wire.PROBLEMS, json.dumps(told).encode())
            return
        send(wire.FUNCTIONS, json.dumps(functions).encode())
        send(wire.CODE, marshal.dumps(code))

    rehearse = serve
