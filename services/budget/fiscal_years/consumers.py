"""Handlers of the tenant service's events. Budget prepares nothing: a tenant opens its first fiscal year itself."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.provisioning import TenantPrepared
from libs.contracts.tenant import TenantClosed, TenantCreated
from libs.service_kit.events.outbox import publish
from services.budget.fiscal_years import queries


async def on_tenant_created(session: AsyncSession, event: TenantCreated) -> None:
    """Answer that budget is ready. There is nothing to prepare; the query shows that the database can be read."""
    await session.scalar(select(queries.fiscal_years(event.tenant_id).exists()))
    publish(session, TenantPrepared(tenant_id=event.tenant_id, service="budget"))


async def on_tenant_closed(session: AsyncSession, event: TenantClosed) -> None:
    """Do nothing: nothing was prepared, and what users have entered stays."""
