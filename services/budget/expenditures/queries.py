"""Reads and locks of expenditures."""

from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.budget.expenditures.models import Expenditure


def expenditures(
    tenant_id: UUID, *, allocation_id: UUID | None = None, status: str | None = None
) -> Select[Expenditure]:
    """The tenant's expenditures: all, or those of one allocation or in one status."""
    query = select(Expenditure).where(Expenditure.tenant_id == tenant_id)
    if allocation_id:
        query = query.where(Expenditure.allocation_id == allocation_id)
    return query.where(Expenditure.status == status) if status else query


async def find(session: AsyncSession, tenant_id: UUID, expenditure_id: UUID) -> Expenditure | None:
    """The expenditure with this id."""
    return await session.scalar(expenditures(tenant_id).where(Expenditure.id == expenditure_id))


async def lock(session: AsyncSession, tenant_id: UUID, expenditure_id: UUID) -> Expenditure | None:
    """The expenditure with this id, decided by nobody else until the transaction ends."""
    return await session.scalar(expenditures(tenant_id).where(Expenditure.id == expenditure_id).with_for_update())
