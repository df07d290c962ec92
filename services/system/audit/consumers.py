"""What the system service hears: everything."""

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts import CloudEvent
from libs.contracts.provisioning import TenantPrepared
from libs.contracts.tenant import TenantCreated
from libs.service_kit.events.outbox import publish
from services.system.audit import service


async def on_event(session: AsyncSession, event: CloudEvent) -> None:
    """Every event becomes an entry."""
    await service.record(session, event)


async def on_tenant_created(session: AsyncSession, event: TenantCreated) -> None:
    """A trail needs no preparation, nor any undoing when the tenant is closed: its entries remain."""
    publish(session, TenantPrepared(tenant_id=event.tenant_id, service="system"))
