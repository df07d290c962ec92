"""Transfers."""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped

from libs.service_kit.entities import Entity
from services.budget.database import Base


class Transfer(Entity, Base):
    """Money that was moved from one allocation to another. It never changes; the way back is another transfer."""

    __tablename__ = "transfers"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "from_allocation_id"], ["allocations.tenant_id", "allocations.id"]),
        ForeignKeyConstraint(["tenant_id", "to_allocation_id"], ["allocations.tenant_id", "allocations.id"]),
        CheckConstraint("amount > 0", name="positive"),
        CheckConstraint("from_allocation_id <> to_allocation_id", name="two_allocations"),
        Index("ix_transfers_from_allocation", "tenant_id", "from_allocation_id"),
        Index("ix_transfers_to_allocation", "tenant_id", "to_allocation_id"),
    )
    from_allocation_id: Mapped[UUID]
    to_allocation_id: Mapped[UUID]
    amount: Mapped[Decimal]
    reason: Mapped[str]
    made_by: Mapped[UUID]
    """The user who made it."""
