"""Receiving events: each is recorded in the inbox in the same transaction as its effect, so the effect happens once.

An event is taken only from the service in whose name it is, and only if that publishes its type.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts import CloudEvent, Event, is_own, read_event
from libs.observability import get_logger
from libs.observability.messaging import Message, processing
from libs.observability.redaction import to_string
from libs.service_kit import availability
from libs.service_kit.database import execute
from libs.service_kit.events.metrics import COUNTERS
from libs.service_kit.transactions import Sessions, after_commit, bind_tenant, commit_of

log = get_logger(__name__)

_CLAIM = """insert into inbox (tenant_id, event_id) select $1, unnest($2::uuid[])
on conflict do nothing returning event_id"""

Key = tuple[UUID, UUID]
"""What tells events apart: the tenant and the id. An id that one tenant's event has used is free for any other's."""
Handlers = Mapping[type[Event] | type[CloudEvent], Callable[[AsyncSession, Any], Awaitable[None]]]
"""The handler of each event class. A handler under `CloudEvent` gets the envelope of every event."""


def is_from(sender: str | None, envelope: CloudEvent) -> bool:
    """Whether the event is in the name of its sender, as the transport has proved it; what is not must not be consumed."""
    if envelope.source == sender:
        return True
    facts = {"event_id": str(envelope.id), "event_type": envelope.type, "client_id": sender}
    log.warning("event in the name of another service refused", **facts)
    return False


async def consume(
    sessions: Sessions,
    handlers: Handlers,
    envelopes: Sequence[CloudEvent],
    system: str,
    *,
    destination: Callable[[str], str] = str,
    **more: Any,
) -> list[str | None]:
    """Handle the events in one transaction, each in a savepoint of its own.

    Returns, for each event, None when its effect is committed (now or earlier), else the reason. Raises when nothing is
    committed because of a transient error: no connection, a deadlock, a lock time-out. `system` is the
    `messaging.system` of the spans, `destination` names the place where events of a type come from, and `more` is what
    else is known of their way: `Message.attempt`, `routing_key`, `sent_at`.
    """
    async with sessions.begin() as session:
        described = partial(_message, system, destination, more)
        batch = _Batch(session, handlers, described, await _claim(session, envelopes))
        return [await _consume_one(batch, envelope) for envelope in envelopes]


@dataclass
class _Batch:
    session: AsyncSession
    handlers: Handlers
    described: Callable[[CloudEvent], Message]
    new: set[Key]
    refused: dict[Key, str] = field(default_factory=dict[Key, str])


class ForeignEvent(Exception):
    """An event in the name of a service that does not publish its type."""


def _message(system: str, destination: Callable[[str], str], more: Mapping[str, Any], envelope: CloudEvent) -> Message:
    return Message(
        id=str(envelope.id),
        type=envelope.type,
        source=envelope.source,
        happened_at=envelope.time.timestamp(),
        system=system,
        destination=destination(envelope.type),
        **more,
    )


async def _claim(session: AsyncSession, envelopes: Sequence[CloudEvent]) -> set[Key]:
    """Record the events in the inbox, with one statement per tenant. Returns the keys of those that are new."""
    new: set[Key] = set()
    for tenant_id in dict.fromkeys(envelope.tenantid for envelope in envelopes):
        await bind_tenant(session, tenant_id)
        ids = [envelope.id for envelope in envelopes if envelope.tenantid == tenant_id]
        new.update((tenant_id, row["event_id"]) for row in await execute(session, _CLAIM, tenant_id, ids))
    return new


async def _consume_one(batch: _Batch, envelope: CloudEvent) -> str | None:
    key = (envelope.tenantid, envelope.id)
    if refusal := batch.refused.get(key):
        return refusal
    session = batch.session
    context = {"traceparent": envelope.traceparent, "tracestate": envelope.tracestate, "request_id": envelope.requestid}
    received = {name: value for name, value in context.items() if value}
    actor = str(envelope.actorid) if envelope.actorid else None
    bound = {"tenant_id": str(envelope.tenantid), "user_id": actor, "event_id": str(envelope.id)}
    try:
        with processing(batch.described(envelope), received, COUNTERS, partial(after_commit, session), **bound):
            if commit_of(session).tenant_id != envelope.tenantid:
                await bind_tenant(session, envelope.tenantid)
            commit_of(session).actor_id = envelope.actorid
            if key in batch.new:
                async with session.begin_nested():
                    await _handle(session, batch.handlers, envelope)
                batch.new.discard(key)
    except Exception as error:
        if availability.is_passing(error):
            raise  # a transient error: the rest of the batch would probably fail as well
        refusal = batch.refused[key] = f"{type(error).__name__}: {to_string(error)}"[:500]
        if key in batch.new:  # otherwise its effect stands, and so does the claim
            await _release(session, envelope)
        return refusal
    finally:
        session.expunge_all()  # the session's cache ignores tenants, and the next event may be another tenant's
    return None


async def _release(session: AsyncSession, envelope: CloudEvent) -> None:
    """Remove the event from the inbox, so that it can be delivered again."""
    await bind_tenant(session, envelope.tenantid)  # its handler may have bound another
    gone = "delete from inbox where tenant_id = $1 and event_id = $2"
    await execute(session, gone, envelope.tenantid, envelope.id)


async def _handle(session: AsyncSession, handlers: Handlers, envelope: CloudEvent) -> None:
    event = read_event(envelope)
    if not is_own(event, envelope.source):
        raise ForeignEvent(f"{envelope.source} publishes no such {envelope.type}")
    if event and (handler := handlers.get(type(event))):
        await handler(session, event)
    if handler := handlers.get(CloudEvent):
        await handler(session, envelope)
