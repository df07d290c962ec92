"""Accounts in requests and answers."""

from datetime import datetime
from uuid import UUID

from libs.service_kit.fields import Code, Input, Name, Output


class AccountCreate(Input):
    """A new account. Its code never changes."""

    code: Code
    name: Name


class AccountUpdate(Input):
    """The fields of an account that can change."""

    name: Name


class AccountOut(Output):
    """An account."""

    id: UUID
    code: str
    name: str
    created_at: datetime
    updated_at: datetime
    version: int
