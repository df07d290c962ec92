"""Handlers of the tenant service's events: a new tenant gets a root department, a closed one loses it."""

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.provisioning import TenantPrepared
from libs.contracts.tenant import TenantClosed, TenantCreated
from libs.service_kit.events.outbox import publish
from services.personnel.departments import service


async def on_tenant_created(session: AsyncSession, event: TenantCreated) -> None:
    """Create the root department, which has the tenant's name."""
    await service.plant(session, event.tenant_id, event.name)
    publish(session, TenantPrepared(tenant_id=event.tenant_id, service="personnel"))


async def on_tenant_closed(session: AsyncSession, event: TenantClosed) -> None:
    """Remove the root department. What users have entered stays."""
    await service.uproot(session, event.tenant_id)
