"""Departments in requests and answers."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from libs.service_kit.fields import Code, Input, Name, Output


class DepartmentCreate(Input):
    """A new department. Its code never changes."""

    code: Code
    name: Name
    parent_id: UUID | None = Field(default=None, description="The department above; null for one at the top")


class DepartmentUpdate(Input):
    """The fields of a department that can change; those that are missing stay."""

    name: Name | None = Field(default=None, description="The new name; null for no change")
    parent_id: UUID | None = Field(default=None, description="The new department above; null to move it to the top")


class DepartmentOut(Output):
    """A department."""

    id: UUID
    code: str
    name: str
    parent_id: UUID | None
    created_at: datetime
    updated_at: datetime
    version: int
