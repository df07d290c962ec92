"""Reads of the directory; they need no tenant."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.directory.models import Tenant


async def find_by_code(session: AsyncSession, code: str) -> Tenant | None:
    """The tenant that people call by this code."""
    return await session.scalar(select(Tenant).where(Tenant.code == code))


async def find(session: AsyncSession, tenant_id: UUID) -> Tenant | None:
    """The tenant of this id."""
    return await session.scalar(select(Tenant).where(Tenant.id == tenant_id))


async def lock(session: AsyncSession, tenant_id: UUID) -> Tenant | None:
    """The tenant, whose state stays until this transaction ends. The session is bound to it."""
    return await session.scalar(select(Tenant).where(Tenant.id == tenant_id).with_for_update())
