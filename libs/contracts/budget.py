"""The events of the budget service: years, accounts, allocations and expenditures. Amounts have two decimals."""

from datetime import date
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from libs.contracts.events import Event
from libs.contracts.money import Amount


class FiscalYearOpened(Event):
    """A fiscal year exists, in which money can be allocated."""

    type: ClassVar[str] = "fiscal_year.opened.v1"
    fiscal_year_id: UUID
    name: str
    starts_on: date
    ends_on: date


class AccountOpened(Event):
    """An account exists, to which money can be allocated."""

    type: ClassVar[str] = "account.opened.v1"
    account_id: UUID
    code: str
    name: str


class AccountRenamed(Event):
    """An account was renamed."""

    type: ClassVar[str] = "account.renamed.v1"
    account_id: UUID
    name: str


class AllocationMade(Event):
    """Money has been set aside for one account in one fiscal year."""

    type: ClassVar[str] = "allocation.made.v1"
    allocation_id: UUID
    fiscal_year_id: UUID
    account_id: UUID
    amount: Amount


class AllocationChanged(Event):
    """The amount of an allocation changed."""

    type: ClassVar[str] = "allocation.changed.v1"
    allocation_id: UUID
    amount: Amount


class TransferMade(Event):
    """Money was moved from one allocation to another."""

    type: ClassVar[str] = "transfer.made.v1"
    transfer_id: UUID
    from_allocation_id: UUID
    to_allocation_id: UUID
    amount: Amount
    reason: str = Field(repr=False)


class ExpenditureRequested(Event):
    """An employee requested to spend from an allocation."""

    type: ClassVar[str] = "expenditure.requested.v1"
    expenditure_id: UUID
    allocation_id: UUID
    amount: Amount
    employee_id: UUID


class ExpenditureApproved(Event):
    """A request was approved, and its money is committed."""

    type: ClassVar[str] = "expenditure.approved.v1"
    expenditure_id: UUID
    allocation_id: UUID
    amount: Amount
    employee_id: UUID


class ExpenditureRejected(Event):
    """A request was rejected and will not be paid."""

    type: ClassVar[str] = "expenditure.rejected.v1"
    expenditure_id: UUID
    allocation_id: UUID
    reason: str = Field(repr=False)
