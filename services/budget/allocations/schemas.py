"""What crosses the wire about allocations."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from libs.service_kit.fields import Input, Money, Output, PositiveMoney


class AllocationCreate(Input):
    """Money for an account in a fiscal year."""

    fiscal_year_id: UUID
    account_id: UUID
    amount: PositiveMoney


class AllocationUpdate(Input):
    """What can change about an allocation."""

    amount: PositiveMoney


class AllocationOut(Output):
    """Money of an account in a fiscal year."""

    id: UUID
    fiscal_year_id: UUID
    account_id: UUID
    amount: Money
    committed: Money = Field(description="What approvals have committed")
    available: Money = Field(description="What can still be committed")
    created_at: datetime
    updated_at: datetime
    version: int
