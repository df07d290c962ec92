"""What crosses the wire about departments."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from libs.service_kit.fields import Code, Input, Name, Output


class DepartmentCreate(Input):
    """A new department. Its code never changes."""

    code: Code
    name: Name
    parent_id: UUID | None = Field(default=None, description="The department above; null: at the top")


class DepartmentUpdate(Input):
    """What can change about a department; what is left out stays."""

    name: Name | None = Field(default=None, description="Null: stays")
    parent_id: UUID | None = Field(default=None, description="The department above; null: to the top")


class DepartmentOut(Output):
    """A department."""

    id: UUID
    code: str
    name: str
    parent_id: UUID | None
    created_at: datetime
    updated_at: datetime
    version: int
