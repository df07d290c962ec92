"""Transfers in requests and answers."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import Field, model_validator

from libs.service_kit.fields import Input, Money, Output, PositiveMoney, Prose


class TransferCreate(Input):
    """A new transfer between two allocations of one fiscal year."""

    from_allocation_id: UUID
    to_allocation_id: UUID
    amount: PositiveMoney
    reason: Prose

    @model_validator(mode="after")
    def _has_two_ends(self) -> Self:
        if self.from_allocation_id == self.to_allocation_id:
            raise ValueError("`from_allocation_id` and `to_allocation_id` are the same")
        return self


class TransferOut(Output):
    """A transfer."""

    id: UUID
    from_allocation_id: UUID
    to_allocation_id: UUID
    amount: Money
    reason: str
    made_by: UUID = Field(description="The user who made it")
    created_at: datetime
    version: int
