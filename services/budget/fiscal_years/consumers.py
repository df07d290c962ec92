"""A tenant's life, of which budget needs to know nothing: a tenant plans its first year on its own."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.provisioning import TenantPrepared
from libs.contracts.tenant import TenantClosed, TenantCreated
from libs.service_kit.events.outbox import publish
from services.budget.fiscal_years import queries


async def on_tenant_created(session: AsyncSession, event: TenantCreated) -> None:
    """There is nothing to prepare: every table takes the tenant's rows at once. Reading one shows that it can."""
    await session.scalar(select(queries.fiscal_years(event.tenant_id).exists()))
    publish(session, TenantPrepared(tenant_id=event.tenant_id, service="budget"))


async def on_tenant_closed(session: AsyncSession, event: TenantClosed) -> None:
    """Nothing was prepared, so there is nothing to undo; what people have entered is the tenant's own and stays."""
