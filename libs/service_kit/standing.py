"""Which tenants are stopped, that is suspended or closed: every service refuses their requests within seconds.

Access tokens stay valid for up to fifteen minutes, so they cannot tell. The tenant service's events fill a table in each
service's database, and each process reads it when it starts and once a second: an event reaches one replica only.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts import Event
from libs.contracts.tenant import TenantClosed, TenantResumed, TenantSuspended
from libs.service_kit.database import as_relay, execute
from libs.service_kit.events.inbox import Handlers
from libs.service_kit.transactions import Sessions

PAUSE_SECONDS = 1.0
FINAL = 2**31 - 1
"""The number of a closing, which nothing follows."""

# An event that was put off comes after those that followed it, and must not undo them.
_KEEP = """insert into tenant_standings (tenant_id, number, is_stopped) values ($1, $2, $3)
on conflict (tenant_id) do update set number = excluded.number, is_stopped = excluded.is_stopped
where tenant_standings.number < excluded.number"""
_STOPPED = "select tenant_id, number from tenant_standings where is_stopped"

Handler = Callable[[AsyncSession, Any], Awaitable[None]]


async def on_suspended(session: AsyncSession, event: TenantSuspended) -> None:
    """Stop the tenant."""
    await execute(session, _KEEP, event.tenant_id, event.number, True)


async def on_resumed(session: AsyncSession, event: TenantResumed) -> None:
    """Let the tenant go on."""
    await execute(session, _KEEP, event.tenant_id, event.number, False)


async def on_closed(session: AsyncSession, event: TenantClosed) -> None:
    """Stop the tenant for good."""
    await execute(session, _KEEP, event.tenant_id, FINAL, True)


KEEPERS: dict[type[Event], Handler] = {
    TenantSuspended: on_suspended,
    TenantResumed: on_resumed,
    TenantClosed: on_closed,
}


def kept_by(handlers: Handlers) -> Handlers:
    """A service's own handlers, and those that keep the tenants' standing, which go before its own of the same event."""
    return {**handlers, **{event: _both(keep, handlers.get(event)) for event, keep in KEEPERS.items()}}


async def watch(service: str, stopped: set[UUID], sessions: Sessions) -> None:
    """Keep the set of stopped tenants up to date, until cancelled."""
    while True:
        async with sessions.begin() as session:
            await as_relay(session, service)  # the service's own role sees one tenant only
            current = {row["tenant_id"] for row in await execute(session, _STOPPED)}
        stopped.intersection_update(current)
        stopped.update(current)
        await asyncio.sleep(PAUSE_SECONDS)


async def stopped_by(session: AsyncSession, tenant_id: UUID) -> int:
    """The number of the suspension or closing that holds now, 0 if there is none. The session must be bound to the tenant."""
    rows = await execute(session, f"{_STOPPED} and tenant_id = $1", tenant_id)
    return rows[0]["number"] if rows else 0


async def is_stopped(session: AsyncSession, tenant_id: UUID) -> bool:
    """Whether the tenant is stopped now, for a request that has no token yet. The session must be bound to the tenant."""
    return await stopped_by(session, tenant_id) > 0


def _both(keep: Handler, own: Handler | None) -> Handler:
    async def handle(session: AsyncSession, event: Event) -> None:
        await keep(session, event)
        if own:
            await own(session, event)

    return handle
