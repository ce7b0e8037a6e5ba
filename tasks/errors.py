"""What can go wrong, as the domain sees it.

ServiceError
├─ InvalidTask        the submission breaks a rule; one FieldProblem for each
├─ TaskNotFound       no task with that id
├─ RunNotFound        the task has no such run
├─ CallbackNotFound   the run has no callback
├─ IllegalMove        the task is in a status that does not allow this
│  └─ ReceiptTaken    the same request is being done by another try of it
├─ TaskChanged        somebody else changed the task since it was read
├─ NotAllowed         who asks has not shown who he is
│  └─ Forbidden       who asks is known and may not do this
├─ TooMuch            too large, too many, too often
└─ StoreUnavailable   Redis does not answer

HTTP statuses are not known here: api/errors.py holds the one table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Problems that one refusal names, so that a small body cannot cause an enormous answer.
MOST_TOLD = 100


@dataclass(frozen=True, kw_only=True)
class FieldProblem:
    """One thing wrong with one submitted field."""

    #: JSON Pointer (RFC 6901) to the field, "" for the whole body.
    pointer: str
    #: Stable machine word, such as `missing` or `import_not_allowed`.
    code: str
    #: One plain sentence for a person.
    message: str
    #: Position in `function_code`, counted from 1, where the problem is in code.
    line: int | None = None
    column: int | None = None
    #: Which of several tasks it is about, counted from 0.
    index: int | None = None


class ServiceError(Exception):
    """Base of everything that a caller may be told about."""

    code = "service_error"

    def __init__(self, message: str, *, code: str | None = None, details: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.details = details


class InvalidTask(ServiceError):
    """The submission breaks at least one rule; nothing was stored."""

    code = "invalid_task"

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        count = len(problems)
        only = f" The first {MOST_TOLD} are told." if count > MOST_TOLD else ""
        super().__init__(f"The task cannot be accepted: {count} fault{'s' if count != 1 else ''}.{only}")
        self.problems = tuple(problems[:MOST_TOLD])


class TaskNotFound(ServiceError):
    """No task has this id."""

    code = "task_not_found"


class RunNotFound(ServiceError):
    """The task has no run with this id."""

    code = "run_not_found"


class CallbackNotFound(ServiceError):
    """The run has no callback: it has not ended, or its task asks for none."""

    code = "callback_not_found"


class SecretNotFound(ServiceError):
    """No secret of whoever asks has this name."""

    code = "secret_not_found"


class IllegalMove(ServiceError):
    """The task's status does not allow this."""

    code = "illegal_move"


class TaskChanged(ServiceError):
    """The task is not as it was when who asks read it."""

    code = "task_changed"


class ReceiptTaken(IllegalMove):
    """The same request is being done by another try of it; `retry_after` is in seconds."""

    code = "idempotency_key_in_use"
    retry_after: int | None = None


class NotAllowed(ServiceError):
    """Who asks has not shown who he is."""

    code = "not_allowed"


class Forbidden(NotAllowed):
    """Who asks is known, and may not do this."""

    code = "role_too_low"


class TooMuch(ServiceError):
    """Too large, too many or too often; `retry_after` is in seconds where waiting helps."""

    code = "too_much"

    def __init__(self, message: str, *, code: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class StoreUnavailable(ServiceError):
    """Redis does not answer, or refuses to write."""

    code = "store_unavailable"
