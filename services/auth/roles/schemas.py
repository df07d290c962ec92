"""Roles in requests and answers."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from libs.service_kit.fields import Input, Name, Output

# Only the form is checked here: a caller can only grant permissions that they have, so unknown ones are refused.
Permission = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,40}:[a-z]{1,40}$")]
Permissions = Annotated[list[Permission], Field(max_length=100)]


class RoleCreate(Input):
    """A new role."""

    name: Name
    permissions: Permissions


class RoleUpdate(Input):
    """The permissions that replace those of the role."""

    permissions: Permissions


class RoleOut(Output):
    """A role."""

    id: UUID
    name: str
    permissions: list[str]
    is_builtin: bool
    created_at: datetime
    updated_at: datetime
    version: int
