"""What can go wrong with accounts; HTTP statuses are in api/errors.py.

ServiceError
├─ AccountNotFound    no user, key or secret of that name
├─ AccountConflict    the name is taken, or nobody would be left to manage users
└─ InvalidAccount     fields that break a rule; one FieldProblem for each
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.errors import FieldProblem, ServiceError


class AccountNotFound(ServiceError):
    """No user, key or secret of this name."""

    code = "not_found"


class AccountConflict(ServiceError):
    """What is asked for does not go together with what there is."""

    code = "conflict"


class InvalidAccount(ServiceError):
    """At least one field breaks a rule; nothing was stored."""

    code = "invalid_body"

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__("The body cannot be accepted.")
        self.problems = tuple(problems)
