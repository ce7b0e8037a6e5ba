"""The shapes of users, tokens, API keys and the audit log."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from config.settings import USERNAME
from config.strength import LEAST_PASSWORD, MOST_PASSWORD
from tasks.principal import Role

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-24T05:00:20.371Z"])]
Username = Annotated[str, Field(pattern=USERNAME, examples=["olga"], description="Taken in lower case.")]
NewPassword = Annotated[
    str, Field(min_length=LEAST_PASSWORD, max_length=MOST_PASSWORD, description="Not one that is easily guessed.")
]
EXACT = ConfigDict(extra="forbid")


class Login(TypedDict):
    """Who logs in."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    username: Annotated[str, Field(min_length=1, max_length=100, examples=["admin"])]
    password: Annotated[str, Field(min_length=1, max_length=1000)]


class Tokens(TypedDict):
    """Tokens to send as `Authorization: Bearer …`. Each refresh token is good once."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    access_token: str
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Field(description="Seconds for which the access token is good.")]
    refresh_token: str


class Me(TypedDict):
    """Who asks."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    username: str
    role: Role
    sees_all_tasks: Annotated[bool, Field(description="Whether tasks of other owners are shown.")]
    authenticated_by: Literal["session", "key", "nothing"]
    key_id: str | None


class PasswordChange(TypedDict):
    """One's own new password."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    old_password: Annotated[str, Field(min_length=1, max_length=1000)]
    new_password: NewPassword


class NewUser(TypedDict):
    """A user to be."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    username: Username
    password: NewPassword
    role: NotRequired[Annotated[Role, Field(description="`operator` where it is not said.")]]


class UserChange(TypedDict):
    """What is to be different; a new password and `disabled` end the user's sessions."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    role: NotRequired[Role]
    password: NotRequired[NewPassword]
    disabled: NotRequired[bool]


class User(TypedDict):
    """Somebody who may log in."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    username: str
    role: Role
    disabled: bool
    created_at: Moment
    updated_at: Moment


class UserPage(TypedDict):
    """A page of users by name."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    users: list[User]
    next_cursor: str | None


class NewKey(TypedDict):
    """An API key to be."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[!-~]( ?[!-~])*$", examples=["nightly backup"])]
    role: NotRequired[Annotated[Role, Field(description="Not more than your own; your own where it is not said.")]]
    expires_at: NotRequired[Annotated[Moment | None, Field(description="Never where it is not said.")]]


class ApiKey(TypedDict):
    """An API key without its secret."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    id: str
    name: str
    user: str
    role: Role
    created_at: Moment
    expires_at: Moment | None
    last_used_at: Annotated[Moment | None, Field(description="Noted once a minute at most.")]


class ShownKey(ApiKey):
    """A new API key."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    key: Annotated[str, Field(description="To be sent as `X-API-Key` or as bearer. It is shown this once.")]


class KeyList(TypedDict):
    """A user's API keys."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    keys: list[ApiKey]


#: One change or refusal. `from` is a word of Python's own, so this is written as a call.
AuditEntry = TypedDict(
    "AuditEntry",
    {
        "id": str,
        "at": Moment,
        "who": Annotated[str, Field(description="Empty where nobody showed who he is.")],
        "role": str,
        "key": Annotated[str, Field(description="Id of the API key it was done with.")],
        "what": Annotated[str, Field(examples=["POST /api/tasks/<task_id>/stop"])],
        "target": Annotated[str, Field(description="Which task, user or key.")],
        "status": int,
        "from": Annotated[str, Field(description="The address.")],
        "request_id": str,
    },
)


class AuditPage(TypedDict):
    """A page of the audit log, newest first."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    entries: list[AuditEntry]
    next_cursor: str | None


class NewSecret(TypedDict):
    """A secret to be stored."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    value: Annotated[str, Field(min_length=4, max_length=8192, description="Never shown again.")]


class ShownSecret(TypedDict):
    """What may be told of a secret."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    name: str
    created_at: Moment
    updated_at: Moment


class SecretList(TypedDict):
    """Secrets, by name."""

    __pydantic_config__ = EXACT  # type: ignore[misc]
    secrets: list[ShownSecret]


ACCOUNT_SHAPES: dict[str, Any] = {
    shape.__name__: shape
    for shape in (
        *(Login, Tokens, Me, PasswordChange, NewUser, UserChange, User, UserPage),
        *(NewKey, ApiKey, ShownKey, KeyList, AuditPage),
        *(NewSecret, ShownSecret, SecretList),
    )
}
