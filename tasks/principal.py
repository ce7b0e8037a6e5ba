"""Who asks: a name, a role, and what the two allow. Frozen; nothing here does I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What somebody may do. How far it reaches, own tasks or all, is `Principal.sees_all`."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


#: Owner of what is submitted where nobody has to say who he is.
NOBODY = "anonymous"
#: Names that no user may have.
RESERVED_NAMES = frozenset({NOBODY, "system"})
#: Roles that see the tasks of everybody.
FAR_SIGHTED = frozenset({Role.VIEWER, Role.ADMIN})
#: Which roles an API key of somebody may have: never more than its owner.
KEY_ROLES = {
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.OPERATOR: frozenset({Role.VIEWER, Role.OPERATOR}),
    Role.ADMIN: frozenset(Role),
}


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who asks for something. Its tasks are those whose owner has its name."""

    name: str
    role: Role
    #: Whether tasks of other owners exist for it.
    sees_all: bool
    #: The API key it came with, by its id.
    key: str | None = None
    #: The login session it came with, by its id.
    session: str | None = None

    def sees(self, owner: str) -> bool:
        """Whether a task of `owner` exists for it."""
        return self.sees_all or owner == self.name

    @property
    def changes(self) -> bool:
        """Whether it may submit tasks, and change those it sees."""
        return self.role is not Role.VIEWER

    @property
    def governs(self) -> bool:
        """Whether it may manage users and read the audit log."""
        return self.role is Role.ADMIN


#: Who asks where AUTH_REQUIRED is off and no token is sent.
ANONYMOUS = Principal(name=NOBODY, role=Role.ADMIN, sees_all=True)


def anonymous() -> Principal:
    """Nobody in particular, who may do everything."""
    return ANONYMOUS


def of_user(name: str, role: Role, session: str | None = None) -> Principal:
    """A user who came with his password."""
    return Principal(name=name, role=role, sees_all=role in FAR_SIGHTED, session=session)


def of_key(name: str, user_role: Role, key_role: Role, key: str) -> Principal:
    """A user who came with an API key: the less of what the two roles allow, in what may be done and to whose tasks.

    An operator's key with the role viewer reads the operator's own tasks and no others. A key whose role has become
    too high for its owner counts as the owner's role.
    """
    role = key_role if key_role in KEY_ROLES[user_role] else user_role
    sees_all = user_role in FAR_SIGHTED and role in FAR_SIGHTED
    return Principal(name=name, role=role, sees_all=sees_all, key=key)
