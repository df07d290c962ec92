"""The events of the system service: common codes and settings."""

from typing import ClassVar
from uuid import UUID

from libs.contracts.events import Event


class CodeGroupCreated(Event):
    """A code group exists."""

    type: ClassVar[str] = "code_group.created.v1"
    code_group_id: UUID
    code: str
    name: str


class CodeGroupUpdated(Event):
    """A code group was renamed."""

    type: ClassVar[str] = "code_group.updated.v1"
    code_group_id: UUID
    name: str


class CodeCreated(Event):
    """A code can be chosen."""

    type: ClassVar[str] = "code.created.v1"
    code_id: UUID
    code_group_id: UUID
    code: str
    name: str


class CodeUpdated(Event):
    """A code was renamed, is offered no more, or again."""

    type: ClassVar[str] = "code.updated.v1"
    code_id: UUID
    name: str
    is_active: bool


class SettingChanged(Event):
    """A setting of the tenant has another value."""

    type: ClassVar[str] = "setting.changed.v1"
    setting_id: UUID
    name: str
    value: str | int
