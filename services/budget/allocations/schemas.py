"""Allocations in requests and answers."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from libs.service_kit.fields import Input, Money, Output, PositiveMoney


class AllocationCreate(Input):
    """A new allocation: money for an account in a fiscal year."""

    fiscal_year_id: UUID
    account_id: UUID
    amount: PositiveMoney


class AllocationUpdate(Input):
    """The fields of an allocation that can change."""

    amount: PositiveMoney


class AllocationOut(Output):
    """An allocation."""

    id: UUID
    fiscal_year_id: UUID
    account_id: UUID
    amount: Money
    committed: Money = Field(description="The amount that approvals have committed")
    available: Money = Field(description="The amount that can still be committed")
    created_at: datetime
    updated_at: datetime
    version: int
