"""The audit trail."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from services.system.database import Base


class AuditEntry(Base):
    """One event. The service's role may add entries and read them; it may neither change nor remove one."""

    __tablename__ = "audit_entries"
    # Each filter has an index that ends with the sort order, so that a page reads only its own rows. A period cannot have
    # one: a page of what occurred until some day reads what came in since, or what occurred then, whichever is less.
    __table_args__ = (
        UniqueConstraint("tenant_id", "position"),
        Index(None, "tenant_id", "type", "position"),
        Index(None, "tenant_id", "actor_id", "position"),
        Index(None, "tenant_id", "entity_type", "position"),
        Index(None, "tenant_id", "entity_id", "position"),
        Index(None, "tenant_id", "trace_id", "position"),
        Index(None, "tenant_id", "occurred_at"),
    )
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    """The event's own id, which is also in the log lines of its consumers."""
    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    """The order of recording. It is never shown: its gaps would reveal how busy the other tenants are."""
    type: Mapped[str]
    source: Mapped[str]
    entity_type: Mapped[str]
    entity_id: Mapped[str]
    actor_id: Mapped[UUID | None]
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    trace_id: Mapped[str | None]
    request_id: Mapped[str | None]
    data: Mapped[dict[str, Any]]
