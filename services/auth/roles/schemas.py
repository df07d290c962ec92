"""Roles as they cross the wire."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from libs.service_kit.fields import Input, Name, Output

# Which permissions there are is no matter of form: whoever gives one away must have it.
Permission = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,40}:[a-z]{1,40}$")]
Permissions = Annotated[list[Permission], Field(max_length=100)]


class RoleCreate(Input):
    """A new role."""

    name: Name
    permissions: Permissions


class RoleUpdate(Input):
    """The permissions that the role has from now on, and no others."""

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
