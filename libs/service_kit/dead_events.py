"""Events that were given up after their last attempt: what is known of each, and an outbox's listed and sent again.

The ones that a broker has laid aside are looked after in `dead_queues`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.service_kit.database import Sessions
from libs.service_kit.outbox import OutboxRow


@dataclass(frozen=True)
class DeadEvent:
    """One event that one destination has not taken. What a message that is no event does not tell is None."""

    place: str
    """Where it lies: `outbox of <service>` or `queue <service>.dead`."""
    event_id: str | None
    type: str | None
    source: str | None
    destination: str
    """The service that should have taken it, or `broker` for one that never came so far."""
    tenant_id: str | None
    happened_at: datetime | None
    died_at: datetime | None
    attempts: int
    reason: str
    trace_id: str | None


@dataclass(frozen=True)
class Wanted:
    """Which dead events to replay: with this id, for this destination; None is any."""

    event_id: str | None = None
    destination: str | None = None


async def in_outbox(sessions: Sessions, service: str, limit: int) -> tuple[list[DeadEvent], int]:
    """The dead events in a service's outbox, of all tenants, those first that died first: at most `limit`, and their count."""
    dead = OutboxRow.failed_at.is_not(None)
    async with sessions.begin() as session:
        await _see_all_tenants(session, service)
        count = await session.scalar(select(func.count()).where(dead)) or 0
        oldest = select(OutboxRow).where(dead).order_by(OutboxRow.failed_at, OutboxRow.position).limit(limit)
        return [_told(service, row) for row in await session.scalars(oldest)], count


async def replay_outbox(sessions: Sessions, service: str, wanted: Wanted) -> list[DeadEvent]:
    """Make the relay send dead events again, with all their attempts; which ones those are."""
    chosen = _chosen(wanted)
    async with sessions.begin() as session:
        await _see_all_tenants(session, service)
        rows = (await session.scalars(select(OutboxRow).where(*chosen).with_for_update())).all()
        found = [_told(service, row) for row in rows]
        await session.execute(
            update(OutboxRow)
            .where(*chosen)
            .values(attempts=0, failed_at=None, next_attempt_at=func.now())
            .execution_options(synchronize_session=False)
        )
    return found


def trace_of(traceparent: object) -> str | None:
    """The trace id in a `traceparent`."""
    parts = traceparent.split("-") if isinstance(traceparent, str) else []
    return parts[1] if len(parts) >= 4 else None


async def _see_all_tenants(session: AsyncSession, service: str) -> None:
    await session.execute(text(f"set local role {service}_relay"))


def _chosen(wanted: Wanted) -> list[ColumnElement[bool]]:
    chosen: list[ColumnElement[bool]] = [OutboxRow.failed_at.is_not(None)]
    if wanted.event_id:
        # As a text, since what is asked for need not be a UUID.
        chosen.append(cast(OutboxRow.event_id, Text) == wanted.event_id)
    if wanted.destination:
        chosen.append(OutboxRow.destination == wanted.destination)
    return chosen


def _told(service: str, row: OutboxRow) -> DeadEvent:
    envelope: dict[str, Any] = row.envelope
    return DeadEvent(
        place=f"outbox of {service}",
        event_id=str(row.event_id),
        type=envelope["type"],
        source=envelope["source"],
        destination=row.destination,
        tenant_id=str(row.tenant_id),
        happened_at=row.created_at,
        died_at=row.failed_at,
        attempts=row.attempts,
        reason=row.error or "",
        trace_id=trace_of(row.carrier.get("traceparent")),
    )
