"""Dead events, whose last attempt has failed: how one is described, and how those of an outbox are listed and replayed.

`dead_queues` lists and replays those in the dead letter queues of a broker.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, func, select, update

from libs.contracts import trace_of
from libs.service_kit.database import as_relay
from libs.service_kit.tables import OutboxRow
from libs.service_kit.transactions import Sessions


@dataclass(frozen=True)
class DeadEvent:
    """An event that one destination has not accepted. For a message that is no event, most fields are None."""

    place: str
    """Where the event is stored: `outbox of <service>` or `queue <service>.dead`."""
    event_id: str | None
    type: str | None
    source: str | None
    destination: str
    """The service that should have accepted it, or `broker` for an event that never reached the broker."""
    tenant_id: str | None
    happened_at: datetime | None
    died_at: datetime | None
    attempts: int
    reason: str
    trace_id: str | None


@dataclass(frozen=True)
class Wanted:
    """Which dead events to replay: those with this id, for this destination; None matches any."""

    event_id: str | None = None
    destination: str | None = None


async def in_outbox(sessions: Sessions, service: str, limit: int) -> tuple[list[DeadEvent], int]:
    """The dead events in a service's outbox, of all tenants: the `limit` that died first, and how many there are."""
    dead = OutboxRow.failed_at.is_not(None)
    async with sessions.begin() as session:
        await as_relay(session, service)
        count = await session.scalar(select(func.count()).where(dead)) or 0
        oldest = select(OutboxRow).where(dead).order_by(OutboxRow.failed_at, OutboxRow.position).limit(limit)
        return [_describe(service, row) for row in await session.scalars(oldest)], count


async def replay_outbox(sessions: Sessions, service: str, wanted: Wanted) -> list[DeadEvent]:
    """Let the relay send dead events again, with a new count of attempts. Returns those events."""
    chosen = _chosen(wanted)
    async with sessions.begin() as session:
        await as_relay(session, service)
        rows = (await session.scalars(select(OutboxRow).where(*chosen).with_for_update())).all()
        found = [_describe(service, row) for row in rows]
        await session.execute(
            update(OutboxRow)
            .where(*chosen)
            .values(attempts=0, failed_at=None, next_attempt_at=func.now())
            .execution_options(synchronize_session=False)
        )
    return found


def _chosen(wanted: Wanted) -> list[ColumnElement[bool]]:
    chosen: list[ColumnElement[bool]] = [OutboxRow.failed_at.is_not(None)]
    if wanted.event_id:
        # Compared as strings, since the wanted id need not be a UUID.
        chosen.append(cast(OutboxRow.event_id, Text) == wanted.event_id)
    if wanted.destination:
        chosen.append(OutboxRow.destination == wanted.destination)
    return chosen


def _describe(service: str, row: OutboxRow) -> DeadEvent:
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
