"""`publish()`: an event becomes part of the rule's own transaction, and is reported once that is committed."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from random import getrandbits
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from libs.contracts import CloudEvent, Event
from libs.observability.messaging import carrier
from libs.service_kit.database import execute_now
from libs.service_kit.events.report import report
from libs.service_kit.transactions import commit_of

Counts = Mapping[type[Event], Callable[[Any], object]]
"""What counts a committed event, by its class: `{EmployeeHired: lambda event: HIRES.inc()}`."""


@dataclass
class Outbox:
    """Where this service's events go, the relays that wait for them, and what counts them."""

    source: str
    """The producing service, as CloudEvents `source`."""
    destinations: Callable[[str], list[str]]
    """The destinations of an event type."""
    wakers: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])
    """What the relay of a destination waits for."""
    counts: Counts = field(default_factory=dict[type[Event], Callable[[Any], object]])

    def wake(self, destinations: Iterable[str]) -> None:
        """Let the relays know that something for these destinations waits."""
        for destination in destinations:
            if waker := self.wakers.get(destination):
                waker.set()

    def waker(self, destination: str) -> asyncio.Event:
        """What the relay of this destination waits for, from now on."""
        return self.wakers.setdefault(destination, asyncio.Event())


# Of any number of rows, as one document: by the unit of work a row costs 0.2 ms, this a third of it.
ADD = """insert into outbox (event_id, destination, tenant_id, envelope, carrier)
select event_id, destination, tenant_id, envelope, carrier from jsonb_to_recordset($1)
as r (event_id uuid, destination text, tenant_id uuid, envelope jsonb, carrier jsonb)"""


def publish(session: AsyncSession, event: Event) -> None:
    """Let the event leave with this transaction: both are committed, or neither.

    Once it is committed, one log line reports it, `Outbox.counts` counts it, and the relays wake. The tenant, the actor
    and the trace are those of the session and of the current span. Raises `RuntimeError` once a statement of the
    transaction, or of the savepoint that is open, has failed.
    """
    if not session.is_active:
        raise RuntimeError("nothing can be published in a transaction that has failed")
    commit = commit_of(session)
    outbox: Outbox = commit.outbox
    destinations = outbox.destinations(event.type)
    if destinations:
        assert commit.tenant_id, "an event belongs to a tenant"
        commit.before(add_rows, _rows(outbox, event, commit.tenant_id, commit.actor_id, destinations))
    commit.after(partial(_committed, outbox, event, commit.actor_id, destinations))


def add_rows(session: Session, rows: list[Any]) -> None:
    """Write the rows of published events."""
    execute_now(session, ADD, document(rows))


def document(rows: list[Any]) -> str:
    """Rows of published events as the parameter of `ADD`."""
    return orjson.dumps(rows).decode()


def _rows(
    outbox: Outbox, event: Event, tenant_id: UUID, actor_id: UUID | None, destinations: Iterable[str]
) -> list[dict[str, Any]]:
    envelope = CloudEvent(
        id=UUID(int=getrandbits(128), version=4),  # unique, and no secret: `uuid4` asks the system each time
        source=outbox.source,
        type=event.type,
        subject=event.subject,
        time=datetime.now(UTC),
        tenantid=tenant_id,
        actorid=actor_id,
        data=event.model_dump(mode="json"),
    )
    row = {
        "event_id": str(envelope.id),
        "tenant_id": str(envelope.tenantid),  # orjson does not take asyncpg's own UUIDs
        "envelope": envelope.model_dump(mode="json", exclude_none=True),
        "carrier": carrier(),
    }
    return [{**row, "destination": each} for each in destinations]


def _committed(outbox: Outbox, event: Event, actor_id: UUID | None, destinations: Iterable[str]) -> None:
    outbox.wake(destinations)
    report(event, actor_id)
    if count := outbox.counts.get(type(event)):
        count(event)
