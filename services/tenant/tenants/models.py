"""Tenants, and the answers of the services that prepare them.

All rows belong to the platform (`tenant_id`), whose users create tenants and see them all; row-level security keeps
all others out. A tenant's own id is `tenants.id`.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from libs.service_kit.entities import Entity
from services.tenant.database import Base


class Tenant(Entity, Base):
    """A customer of the platform."""

    __tablename__ = "tenants"
    __table_args__ = (
        UniqueConstraint("tenant_id", "code"),
        CheckConstraint("status in ('provisioning', 'active', 'suspended', 'closed')", name="status"),
        Index("ix_tenants_provisioning", "tenant_id", "created_at", postgresql_where=text("status = 'provisioning'")),
    )
    code: Mapped[str]
    name: Mapped[str]
    status: Mapped[str]
    reason: Mapped[str | None]
    """Why it is suspended or closed."""
    plan: Mapped[str] = mapped_column(server_default=text("'unlimited'"))
    plan_changes: Mapped[int] = mapped_column(server_default=text("0"))
    turns: Mapped[int] = mapped_column(server_default=text("0"))
    """How often it was suspended or resumed."""
    provisioning: Mapped[list["ProvisioningStep"]] = relationship(lazy="raise", order_by="ProvisioningStep.service")


class ProvisioningStep(Base):
    """One service's step in the provisioning of a tenant."""

    __tablename__ = "provisioning_steps"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "provisioned_id"], ["tenants.tenant_id", "tenants.id"]),
        CheckConstraint("status in ('pending', 'prepared', 'failed')", name="status"),
    )
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    provisioned_id: Mapped[UUID] = mapped_column(primary_key=True)
    """The tenant that is provisioned."""
    service: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(default="pending")
    reason: Mapped[str | None]
    """Why it failed."""
    at: Mapped[datetime | None]
    """When the service answered."""
    exported_at: Mapped[datetime | None]
    """When the service had given everything that it holds of the tenant, since its present suspension."""
