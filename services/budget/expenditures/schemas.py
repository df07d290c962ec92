"""Expenditures in requests and answers."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from libs.service_kit.fields import Input, Money, Output, PositiveMoney, Prose

Status = Literal["requested", "approved", "rejected"]


class ExpenditureCreate(Input):
    """A request to spend from an allocation."""

    allocation_id: UUID
    amount: PositiveMoney
    purpose: Prose


class Rejection(Input):
    """Why a request is rejected."""

    reason: Prose


class ExpenditureOut(Output):
    """A request, and the decision about it."""

    id: UUID
    allocation_id: UUID
    amount: Money
    purpose: str
    status: Status
    requester_id: UUID = Field(description="The user who made the request")
    employee_id: UUID = Field(description="The employee that this user was at that time")
    decided_by: UUID | None = Field(description="The user who approved or rejected it")
    decided_at: datetime | None
    reason: str | None = Field(description="Why it was rejected")
    created_at: datetime
    updated_at: datetime
    version: int
