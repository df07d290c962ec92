"""Users in requests and answers. No answer contains a password."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field, StrictBool

from libs.service_kit.fields import Email, Input, Name, Output
from services.auth.fields import NewPassword

RoleNames = Annotated[list[Name], Field(max_length=50)]


class UserCreate(Input):
    """A new user, with the names of their roles."""

    email: Email
    name: Name
    password: NewPassword
    roles: RoleNames = Field(default_factory=list)


class UserUpdate(Input):
    """The fields to change; those that are missing or null stay. `roles` replaces all roles of the user."""

    name: Name | None = None
    roles: RoleNames | None = None
    is_active: StrictBool | None = None


class UserOut(Output):
    """A user."""

    id: UUID
    email: str
    name: str
    roles: list[str] = Field(validation_alias="role_names")
    is_active: bool
    created_at: datetime
    updated_at: datetime
    version: int


class PermissionsOut(Output):
    """The permissions of all roles of a user who is not switched off, else none."""

    permissions: list[str]
