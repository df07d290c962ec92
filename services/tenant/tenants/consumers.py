"""Handlers of what the services say about a tenant: their answers to `tenant.created.v1`, and their exports."""

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts import PLATFORM_TENANT_ID
from libs.contracts.provisioning import TenantExported, TenantPreparationFailed, TenantPrepared
from services.tenant.database import bound_to
from services.tenant.tenants import service


async def on_tenant_prepared(session: AsyncSession, event: TenantPrepared) -> None:
    """Record that one service is prepared."""
    async with bound_to(session, PLATFORM_TENANT_ID):
        await service.record_answer(session, event.tenant_id, event.service, refusal=None)


async def on_tenant_preparation_failed(session: AsyncSession, event: TenantPreparationFailed) -> None:
    """Record that one service has refused."""
    async with bound_to(session, PLATFORM_TENANT_ID):
        await service.record_answer(session, event.tenant_id, event.service, refusal=event.reason)


async def on_tenant_exported(session: AsyncSession, event: TenantExported) -> None:
    """Record that one service has given everything that it holds of the tenant."""
    async with bound_to(session, PLATFORM_TENANT_ID):
        await service.record_export(session, event.tenant_id, event.service, event.number)
