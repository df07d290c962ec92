"""Handlers of all events."""

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts import CloudEvent
from libs.contracts.provisioning import TenantPrepared
from libs.contracts.tenant import TenantCreated
from libs.service_kit.events.outbox import publish
from services.system.audit import service


async def on_event(session: AsyncSession, event: CloudEvent) -> None:
    """Add the event to the trail."""
    await service.record(session, event)


async def on_tenant_created(session: AsyncSession, event: TenantCreated) -> None:
    """Answer that system is ready: a trail needs no preparation, and the entries of a closed tenant remain."""
    publish(session, TenantPrepared(tenant_id=event.tenant_id, service="system"))
