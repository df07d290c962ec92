"""Reads and locks of allocations."""

from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.budget.allocations.models import Allocation


def allocations(tenant_id: UUID, *, fiscal_year_id: UUID | None = None) -> Select[Allocation]:
    """The tenant's allocations: all, or those of one fiscal year."""
    query = select(Allocation).where(Allocation.tenant_id == tenant_id)
    return query.where(Allocation.fiscal_year_id == fiscal_year_id) if fiscal_year_id else query


async def find(session: AsyncSession, tenant_id: UUID, allocation_id: UUID) -> Allocation | None:
    """The allocation with this id."""
    return await session.scalar(allocations(tenant_id).where(Allocation.id == allocation_id))


async def lock(session: AsyncSession, tenant_id: UUID, allocation_id: UUID) -> Allocation | None:
    """The allocation with this id, changed by nobody else until the transaction ends.

    With `key_share` new expenditures, whose foreign key only needs the row to exist, do not wait for an approval.
    """
    locked = allocations(tenant_id).where(Allocation.id == allocation_id).with_for_update(key_share=True)
    return await session.scalar(locked)
