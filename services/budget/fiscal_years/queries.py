"""Reads of fiscal years."""

from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.service_kit.transactions import lock
from services.budget.fiscal_years.models import FiscalYear


def fiscal_years(tenant_id: UUID) -> Select[FiscalYear]:
    """The tenant's fiscal years."""
    return select(FiscalYear).where(FiscalYear.tenant_id == tenant_id)


async def lock_years(session: AsyncSession, tenant_id: UUID) -> None:
    """Let nobody else open a fiscal year of this tenant until the transaction ends.

    The exclusion constraint alone refuses an overlap too. But PostgreSQL inserts a row before it looks for others that the
    row excludes, so two transactions that insert at the same time can each wait for the other: a deadlock.
    """
    await lock(session, f"fiscal years of {tenant_id}")
