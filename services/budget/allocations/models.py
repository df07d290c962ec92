"""Allocations."""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from libs.service_kit.entities import Entity, newest_first
from services.budget.database import Base


class Allocation(Entity, Base):
    """Money set aside for an account in a fiscal year, and how much of it approvals have committed.

    The check constraint backs the rules: whatever they do, no allocation is ever overspent.
    """

    __tablename__ = "allocations"
    __table_args__ = (
        UniqueConstraint("tenant_id", "fiscal_year_id", "account_id"),
        ForeignKeyConstraint(["tenant_id", "fiscal_year_id"], ["fiscal_years.tenant_id", "fiscal_years.id"]),
        ForeignKeyConstraint(["tenant_id", "account_id"], ["accounts.tenant_id", "accounts.id"]),
        CheckConstraint("0 <= committed and committed <= amount", name="not_overspent"),
        Index("ix_allocations_account", "tenant_id", "account_id"),
        newest_first("ix_allocations_fiscal_year_newest", "fiscal_year_id"),
    )
    fiscal_year_id: Mapped[UUID]
    account_id: Mapped[UUID]
    amount: Mapped[Decimal]
    committed: Mapped[Decimal] = mapped_column(default=Decimal(0))

    @property
    def available(self) -> Decimal:
        """The amount that can still be committed."""
        return self.amount - self.committed
