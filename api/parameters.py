"""Parameters that several calls take, as they are described and as they are read (api/body.py)."""

from __future__ import annotations

from collections.abc import Iterable

from api.body import MOST_PER_PAGE, PER_PAGE
from api.openapi import Parameter
from tasks.model import Status, TaskType

IF_MATCH = Parameter(
    name="If-Match",
    where="header",
    description="The `ETag` of the task as it was read: edit it only if nobody did so since. `*` for any.",
    schema={"type": "string"},
)
IF_NONE_MATCH = Parameter(
    name="If-None-Match",
    where="header",
    description="The `ETag` of an earlier answer: 304 without a body if nothing has changed since.",
    schema={"type": "string"},
)
LIMIT = Parameter(
    name="limit",
    description="Entries on a page.",
    schema={"type": "integer", "minimum": 1, "maximum": MOST_PER_PAGE, "default": PER_PAGE},
)
TASK_CURSOR = Parameter(
    name="cursor",
    description="`next_cursor` of the page before.",
    schema={"type": "string", "format": "uuid"},
)
RUN_CURSOR = Parameter(
    name="cursor",
    description="`next_cursor` of the page before.",
    schema={"type": "integer", "minimum": 1, "maximum": 10**11},
)
STATUS = Parameter(
    name="status", description="Only those in this status.", schema={"type": "string", "enum": [*map(str, Status)]}
)
TASK_TYPE = Parameter(
    name="task_type", description="Only those of this type.", schema={"type": "string", "enum": [*map(str, TaskType)]}
)
TAG = Parameter(
    name="tag",
    description="Only those with this tag.",
    schema={"type": "string", "minLength": 1, "maxLength": 64},
)
NAME = Parameter(
    name="name",
    description="Only those whose name has this text, upper or lower case (ASCII letters).",
    schema={"type": "string", "minLength": 1, "maxLength": 200},
)
OWNER = Parameter(
    name="owner",
    description="Only those of this owner; of others than oneself for admins only.",
    schema={"type": "string", "minLength": 1, "maxLength": 100},
)
CREATED_AFTER = Parameter(
    name="created_after",
    description="Only those made after this moment.",
    schema={"type": "string", "format": "date-time"},
)
CREATED_BEFORE = Parameter(
    name="created_before",
    description="Only those made before this moment.",
    schema={"type": "string", "format": "date-time"},
)


def kind(names: Iterable[str]) -> Parameter:
    """The filter by kind, for the kinds that there are."""
    return Parameter(
        name="kind", description="Only those of this kind.", schema={"type": "string", "enum": list(names)}
    )
