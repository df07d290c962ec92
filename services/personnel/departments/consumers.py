"""A tenant's life: its tree has a root from the first day, and none is left behind when the tenant is given up."""

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.provisioning import TenantPrepared
from libs.contracts.tenant import TenantClosed, TenantCreated
from libs.service_kit.events.outbox import publish
from services.personnel.departments import service


async def on_tenant_created(session: AsyncSession, event: TenantCreated) -> None:
    """Prepare the tenant: the root department carries its name."""
    await service.plant(session, event.tenant_id, event.name)
    publish(session, TenantPrepared(tenant_id=event.tenant_id, service="personnel"))


async def on_tenant_closed(session: AsyncSession, event: TenantClosed) -> None:
    """Undo the preparation. What people have entered since is the tenant's own and stays."""
    await service.uproot(session, event.tenant_id)
