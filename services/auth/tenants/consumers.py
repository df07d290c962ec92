"""Handlers of the tenant service's events."""

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.tenant import TenantActivated, TenantClosed, TenantCreated
from services.auth.tenants import service


async def on_tenant_created(session: AsyncSession, event: TenantCreated) -> None:
    """Prepare the tenant, and publish the answer."""
    await service.prepare(session, event.tenant_id, event.code)


async def on_tenant_activated(session: AsyncSession, event: TenantActivated) -> None:
    """Let the tenant's users log in."""
    await service.activate(session, event.tenant_id)


async def on_tenant_closed(session: AsyncSession, event: TenantClosed) -> None:
    """Log all users out, and undo the preparation if the tenant was never active."""
    await service.close(session, event.tenant_id)
