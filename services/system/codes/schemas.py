"""Codes and their groups in requests and answers."""

from datetime import datetime
from uuid import UUID

from pydantic import StrictBool

from libs.service_kit.fields import Code, Input, Name, Output


class CodeGroupCreate(Input):
    """A new code group. Its code never changes."""

    code: Code
    name: Name


class CodeGroupUpdate(Input):
    """The fields of a code group that can change."""

    name: Name


class CodeGroupOut(Output):
    """A code group."""

    id: UUID
    code: str
    name: str
    created_at: datetime
    updated_at: datetime
    version: int


class CodeCreate(Input):
    """A new code of a group. It never changes."""

    code_group_id: UUID
    code: Code
    name: Name


class CodeUpdate(Input):
    """The fields of a code that can change; those that are missing or null stay."""

    name: Name | None = None
    is_active: StrictBool | None = None


class CodeOut(Output):
    """A code."""

    id: UUID
    code_group_id: UUID
    code: str
    name: str
    is_active: bool
    created_at: datetime
    updated_at: datetime
    version: int
