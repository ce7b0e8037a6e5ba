"""What is said beside a route, and nowhere else, about the call that it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

View = TypeVar("View", bound=Callable[..., Any])

ATTRIBUTE = "openapi_operation"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of the query or a header of the request."""

    name: str
    description: str
    schema: Mapping[str, Any]
    where: Literal["query", "header", "path"] = "query"
    example: Any = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One way in which a call succeeds."""

    description: str
    #: Name of a shape in `components/schemas`; None for an answer without a body.
    shape: str | None = None
    media_type: str = "application/json"
    #: Names of headers in `components/headers` besides those that every answer has.
    headers: Sequence[str] = ()
    example: Any = None
    #: Calls that may follow: name → (operation id, parameter → where its value is found).
    links: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """All that is said about one method at one path; the rest follows from the route (api/openapi/document.py)."""

    summary: str
    tag: str
    answers: Mapping[int, Answer]
    description: str = ""
    #: Name of the shape of the JSON body; None where the call takes none.
    body: str | None = None
    #: Bodies to show, by a short title.
    examples: Mapping[str, Any] = field(default_factory=dict)
    #: Parameters of the query and headers; those of the path follow from the route.
    parameters: Sequence[Parameter] = ()
    #: Error codes by status, besides those that follow from the route, the body and the parameters.
    problems: Mapping[int, Sequence[str]] = field(default_factory=dict)
    #: Whether the call takes Idempotency-Key (api/idempotency.py does the rest).
    idempotent: bool = False
    #: Whether its answer holds a secret, so that a receipt keeps it sealed.
    confidential: bool = False
    #: Whether the call works without a token where AUTH_REQUIRED is true.
    is_open: bool = False
    #: Whether the call wants a token even where AUTH_REQUIRED is false.
    always_needs_token: bool = False
    #: Whether the call needs Redis, and answers 503 without it.
    needs_redis: bool = True


def describe(operation: Operation) -> Callable[[View], View]:
    """Attach the description to a view; stands below the decorator that makes it a route."""

    def attach(view: View) -> View:
        setattr(view, ATTRIBUTE, operation)
        return view

    return attach


def described(view: Callable[..., Any]) -> Operation | None:
    """What was said about a view."""
    found: Operation | None = getattr(view, ATTRIBUTE, None)
    return found
