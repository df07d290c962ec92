"""Reads of the directory. The session need not be bound to a tenant."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.directory.models import Tenant


async def find_by_code(session: AsyncSession, code: str) -> Tenant | None:
    """The tenant with this code."""
    return await session.scalar(select(Tenant).where(Tenant.code == code))


async def find(session: AsyncSession, tenant_id: UUID) -> Tenant | None:
    """The tenant with this id."""
    return await session.scalar(select(Tenant).where(Tenant.id == tenant_id))


async def lock(session: AsyncSession, tenant_id: UUID) -> Tenant | None:
    """The tenant with this id, changed by nobody else until the transaction ends."""
    return await session.scalar(select(Tenant).where(Tenant.id == tenant_id).with_for_update())
