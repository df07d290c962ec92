"""Reads and locks of tenants. The session must be bound to the platform."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from libs.contracts import PLATFORM_TENANT_ID
from services.tenant.tenants.models import Tenant


def tenants() -> Select[Tenant]:
    """All tenants, with their steps."""
    return select(Tenant).where(Tenant.tenant_id == PLATFORM_TENANT_ID).options(selectinload(Tenant.provisioning))


async def find(session: AsyncSession, tenant_id: UUID) -> Tenant | None:
    """The tenant with this id."""
    return await session.scalar(tenants().where(Tenant.id == tenant_id))


async def lock(session: AsyncSession, tenant_id: UUID) -> Tenant | None:
    """The tenant as it is now, changed by nobody else until the transaction ends."""
    locked = tenants().where(Tenant.id == tenant_id).with_for_update(of=Tenant)
    return await session.scalar(locked.execution_options(populate_existing=True))


async def lock_overdue(session: AsyncSession, patience: timedelta) -> Sequence[Tenant]:
    """Tenants in provisioning for longer than `patience`, without those that another transaction has locked."""
    overdue = tenants().where(Tenant.status == "provisioning", Tenant.created_at < func.now() - patience)
    return (await session.scalars(overdue.with_for_update(of=Tenant, skip_locked=True))).all()
