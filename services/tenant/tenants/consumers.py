"""Handlers of the answers to `tenant.created.v1`."""

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts import PLATFORM_TENANT_ID
from libs.contracts.provisioning import TenantPreparationFailed, TenantPrepared
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
