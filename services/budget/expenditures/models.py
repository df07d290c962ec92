"""Expenditures."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKeyConstraint, Index, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from libs.service_kit.entities import Entity, newest_first
from services.budget.database import Base


class Expenditure(Entity, Base):
    """An employee's request to spend from an allocation, and the decision about it."""

    __tablename__ = "expenditures"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "allocation_id"], ["allocations.tenant_id", "allocations.id"]),
        CheckConstraint("amount > 0", name="positive"),
        CheckConstraint("status in ('requested', 'approved', 'rejected')", name="status"),
        # The next one begins with it. To drop it needs a lock that must not come after others: a migration of its own.
        Index("ix_expenditures_allocation", "tenant_id", "allocation_id"),
        newest_first("ix_expenditures_allocation_newest", "allocation_id"),
        newest_first("ix_expenditures_status_newest", "status"),
    )
    allocation_id: Mapped[UUID]
    amount: Mapped[Decimal]
    purpose: Mapped[str]
    status: Mapped[str] = mapped_column(default="requested")
    requester_id: Mapped[UUID]
    """The user who made the request."""
    employee_id: Mapped[UUID]
    """The employee that this user was at that time."""
    requester_set_up_by: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid()), server_default=text("'{}'"))
    """The makers of this user."""
    requester_linked_by: Mapped[UUID | None]
    """Who had linked this user to the employee."""
    requester_has_own_password: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether this user had chosen the password that it logged in with."""
    decided_by: Mapped[UUID | None]
    """The user who approved or rejected it."""
    decided_at: Mapped[datetime | None]
    reason: Mapped[str | None]
    """Why it was rejected."""
