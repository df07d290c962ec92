"""Reads of transfers."""

from uuid import UUID

from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.budget.transfers.models import Transfer


def transfers(tenant_id: UUID, *, allocation_id: UUID | None = None) -> Select[Transfer]:
    """The tenant's transfers: all, or those from and to one allocation."""
    query = select(Transfer).where(Transfer.tenant_id == tenant_id)
    if allocation_id is None:
        return query
    return query.where(or_(Transfer.from_allocation_id == allocation_id, Transfer.to_allocation_id == allocation_id))


async def find(session: AsyncSession, tenant_id: UUID, transfer_id: UUID) -> Transfer | None:
    """The transfer with this id."""
    return await session.scalar(transfers(tenant_id).where(Transfer.id == transfer_id))
