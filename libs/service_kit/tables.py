"""The kit's own tables, the same in every service's database: outbox, inbox, idempotency keys, what is known of tenants."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Identity, Index, MetaData, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class KitBase(DeclarativeBase):
    """The base of these tables. A service's own tables have a different base."""

    metadata = MetaData()
    type_annotation_map = {str: Text(), datetime: DateTime(timezone=True), dict[str, Any]: JSONB()}


class OutboxRow(KitBase):
    """One event for one destination."""

    __tablename__ = "outbox"
    __mapper_args__ = {"eager_defaults": False}  # no RETURNING: the service's role may add rows but not read them
    __table_args__ = (
        Index(
            "ix_outbox_unsent",
            "destination",
            "position",
            postgresql_where=text("published_at is null and failed_at is null"),
        ),
    )
    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    destination: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    tenant_id: Mapped[UUID]
    envelope: Mapped[dict[str, Any]]
    carrier: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    published_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    error: Mapped[str | None]


class InboxRow(KitBase):
    """An event whose effect is committed in this database."""

    __tablename__ = "inbox"
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    received_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


class IdempotencyKey(KitBase):
    """The answer to the first request with this key."""

    __tablename__ = "idempotency_keys"
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    status: Mapped[int | None]
    headers: Mapped[dict[str, Any] | None]
    body: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


class TenantStanding(KitBase):
    """Whether a tenant is stopped. A tenant that never was has no row."""

    __tablename__ = "tenant_standings"
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int]
    """Which of the tenant's suspensions and resumptions said so."""
    is_stopped: Mapped[bool]


class TenantLimits(KitBase):
    """The limits of a tenant's plan; null for none. A tenant whose plan never changed has no row."""

    __tablename__ = "tenant_limits"
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int]
    """Which of the changes of the tenant's plan set them."""
    users: Mapped[int | None]
    employees: Mapped[int | None]
