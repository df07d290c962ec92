"""Transactional outbox and inbox: tables, and `publish()`, which makes an event part of the rule's own transaction."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import getrandbits
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import BigInteger, DateTime, Identity, Index, MetaData, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from libs.contracts import CloudEvent, Event
from libs.observability.messaging import carrier


class KitBase(DeclarativeBase):
    """The kit's own tables, the same in every service's database."""

    metadata = MetaData()
    type_annotation_map = {str: Text(), datetime: DateTime(timezone=True), dict[str, Any]: JSONB()}


class OutboxRow(KitBase):
    """One event for one destination."""

    __tablename__ = "outbox"
    __mapper_args__ = {"eager_defaults": False}  # no RETURNING: the service's role adds rows and may not read them
    __table_args__ = (
        Index(
            "ix_outbox_unsent",
            "destination",
            "position",
            postgresql_where=text("published_at is null and failed_at is null"),
        ),
    )
    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    destination: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    tenant_id: Mapped[UUID]
    envelope: Mapped[dict[str, Any]]
    carrier: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    published_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    error: Mapped[str | None]


class InboxRow(KitBase):
    """An event whose effect is in this database."""

    __tablename__ = "inbox"
    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    received_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


class IdempotencyKey(KitBase):
    """The answer that was given to a request with this key."""

    __tablename__ = "idempotency_keys"
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    status: Mapped[int | None]
    headers: Mapped[dict[str, Any] | None]
    body: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


@dataclass
class Outbox:
    """Where this service's events go, and the relays that wait for them."""

    source: str
    """The producing service, as CloudEvents `source`."""
    destinations: Callable[[str], list[str]]
    """The destinations of an event type."""
    wakers: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])
    """What the relay of a destination waits for."""

    def wake(self, destinations: Iterable[str]) -> None:
        """Tell the relays that something for these destinations waits."""
        for destination in destinations:
            if waker := self.wakers.get(destination):
                waker.set()


# Of any number of rows, as one document. A row by the unit of work costs 0.2 ms, this a third of it.
ADD = """insert into outbox (event_id, destination, tenant_id, envelope, carrier)
select event_id, destination, tenant_id, envelope, carrier from jsonb_to_recordset($1)
as r (event_id uuid, destination text, tenant_id uuid, envelope jsonb, carrier jsonb)"""


def publish(session: AsyncSession, event: Event) -> None:
    """Let the event leave with this transaction: both are committed, or neither.

    The tenant, the actor and the trace are those of the session and of the current span. Raises `RuntimeError` once a
    statement of the transaction, or of the savepoint that is open, has failed.
    """
    if not session.is_active:
        raise RuntimeError("nothing can be published in a transaction that has failed")
    outbox: Outbox = session.info["outbox"]
    destinations = outbox.destinations(event.type)
    if not destinations:
        return
    envelope = CloudEvent(
        id=UUID(int=getrandbits(128), version=4),  # unique, and no secret: `uuid4` asks the system each time
        source=outbox.source,
        type=event.type,
        subject=event.subject,
        time=datetime.now(UTC),
        tenantid=session.info["tenant_id"],
        actorid=session.info.get("actor_id"),
        data=event.model_dump(mode="json"),
    )
    row = {
        "event_id": str(envelope.id),
        "tenant_id": str(envelope.tenantid),  # asyncpg's own UUIDs are none to orjson
        "envelope": envelope.model_dump(mode="json", exclude_none=True),
        "carrier": carrier(),
    }
    session.info.setdefault("published", []).extend({**row, "destination": each} for each in destinations)


def take_published(session: AsyncSession | Session) -> str | None:
    """The rows of what has been published since the last time, for `ADD`; None if there are none. Who takes them adds them."""
    rows = session.info.pop("published", None)
    if not rows:
        return None
    session.info.setdefault("wake", set()).update(row["destination"] for row in rows)
    return orjson.dumps(rows).decode()


def forget_published(session: Session) -> None:
    """Drop what was published in the transaction or savepoint that is rolled back, and is not written yet.

    Nothing older is among it: a flush precedes every savepoint and every end of one.
    """
    session.info.pop("published", None)
