"""The rules of fiscal years."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.budget import FiscalYearOpened
from libs.service_kit.auth import Principal
from libs.service_kit.errors import found
from libs.service_kit.events.outbox import publish
from services.budget.fiscal_years import queries
from services.budget.fiscal_years.errors import FiscalYearNotFound
from services.budget.fiscal_years.models import FiscalYear
from services.budget.fiscal_years.schemas import FiscalYearCreate


async def get(session: AsyncSession, actor: Principal, fiscal_year_id: UUID) -> FiscalYear:
    """The fiscal year with this id. Raises `FiscalYearNotFound`."""
    year = await session.scalar(queries.fiscal_years(actor.tenant_id).where(FiscalYear.id == fiscal_year_id))
    return found(year, FiscalYearNotFound, fiscal_year_id)


async def open_year(session: AsyncSession, actor: Principal, wanted: FiscalYearCreate) -> FiscalYear:
    """Open a fiscal year."""
    await queries.lock_years(session, actor.tenant_id)
    year = FiscalYear(tenant_id=actor.tenant_id, **wanted.model_dump())
    session.add(year)
    await session.flush()
    publish(
        session,
        FiscalYearOpened(fiscal_year_id=year.id, name=year.name, starts_on=year.starts_on, ends_on=year.ends_on),
    )
    return year
