"""The directory of tenants."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from services.auth.database import Base

PREPARING, ACTIVE, CLOSED = "preparing", "active", "closed"


class Tenant(Base):
    """A tenant as login knows it.

    Users type the code at login, so it is unique among all tenants. A tenant that was closed before it was ever active
    has no code: its row only prevents a late `tenant.created` from preparing it again.
    """

    __tablename__ = "tenants"
    __table_args__ = (
        UniqueConstraint("code"),
        CheckConstraint("status in ('preparing', 'active', 'closed')", name="status"),
        CheckConstraint("code is not null or status = 'closed'", name="code"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    code: Mapped[str | None]
    status: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
