"""The time-out of the saga: closes tenants whose services have not all answered in time."""

import asyncio
from datetime import timedelta

from libs.contracts import PLATFORM_TENANT_ID
from libs.observability.traces.scope import get_tracer
from libs.service_kit.transactions import Sessions, transaction
from services.tenant.tenants import queries, service

SWEEP_SECONDS = 1.0

tracer = get_tracer(__name__)


async def watch(sessions: Sessions, patience: timedelta) -> None:
    """Close overdue tenants once a second, until cancelled. Several replicas may do so at the same time."""
    while True:
        await close_overdue(sessions, patience)
        await asyncio.sleep(SWEEP_SECONDS)


async def close_overdue(sessions: Sessions, patience: timedelta) -> None:
    """Close every tenant that has been in provisioning for longer than `patience`."""
    async with transaction(sessions, PLATFORM_TENANT_ID) as session:
        for tenant in await queries.lock_overdue(session, patience):
            # One trace for the closing and everything that it causes.
            with tracer.start_as_current_span("close overdue tenant", attributes={"tenant.id": str(tenant.id)}):
                await service.give_up(session, tenant)
