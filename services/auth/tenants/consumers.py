"""A tenant's life, heard from the tenant service."""

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.tenant import TenantActivated, TenantClosed, TenantCreated
from services.auth.tenants import service


async def on_tenant_created(session: AsyncSession, event: TenantCreated) -> None:
    """Prepare the tenant, and answer."""
    await service.prepare(session, event.tenant_id, event.code)


async def on_tenant_activated(session: AsyncSession, event: TenantActivated) -> None:
    """Let its people in."""
    await service.activate(session, event.tenant_id)


async def on_tenant_closed(session: AsyncSession, event: TenantClosed) -> None:
    """Let nobody in; undo a preparation that came to nothing."""
    await service.close(session, event.tenant_id)
