"""Receiving events: each is recorded in the inbox in the same transaction as its effect, so its effect happens once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts import CloudEvent, Event, read_event
from libs.observability import get_logger
from libs.observability.messaging import processing
from libs.service_kit.auth import Principal, requires
from libs.service_kit.database import Sessions, bind_tenant
from libs.service_kit.outbox import InboxRow
from libs.service_kit.routing import NounRouter

log = get_logger(__name__)

EVENTS_PATH = "/internal/events"

Handlers = Mapping[type[Event] | type[CloudEvent], Callable[[AsyncSession, Any], Awaitable[None]]]
"""What to call for which event. A handler under `CloudEvent` is given the envelope of every event."""


async def consume(
    sessions: Sessions, handlers: Handlers, envelopes: Sequence[CloudEvent], system: str
) -> list[str | None]:
    """Let the events take effect: one transaction for all, a savepoint for each.

    Returns for each event None when its effect is committed (now or before), else why not. Raises when nothing could be
    committed. `system` is the `messaging.system` of the spans.
    """
    async with sessions.begin() as session:
        await session.connection()  # fails here and for all: that there is no database is no event's fault
        return [await _consume_one(session, handlers, envelope, system) for envelope in envelopes]


async def _consume_one(session: AsyncSession, handlers: Handlers, envelope: CloudEvent, system: str) -> str | None:
    context = {"traceparent": envelope.traceparent, "tracestate": envelope.tracestate, "request_id": envelope.requestid}
    received = {name: value for name, value in context.items() if value}
    actor = str(envelope.actorid) if envelope.actorid else None
    bound = {"tenant_id": str(envelope.tenantid), "user_id": actor, "event_id": str(envelope.id)}
    try:
        with processing(envelope.type, envelope.source, system, received, **bound):
            async with session.begin_nested():
                await bind_tenant(session, envelope.tenantid, envelope.actorid)
                if await _is_new(session, envelope):
                    await _handle(session, handlers, envelope)
    except Exception as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise  # nothing of this batch can be committed any more
        return f"{type(error).__name__}: {error}"[:500]
    finally:
        session.expunge_all()  # the next event may be another tenant's, and the session's cache knows no tenants
    return None


async def _is_new(session: AsyncSession, envelope: CloudEvent) -> bool:
    claim = insert(InboxRow).values(event_id=envelope.id, tenant_id=envelope.tenantid)
    return (await session.execute(claim.on_conflict_do_nothing().returning(InboxRow.event_id))).first() is not None


async def _handle(session: AsyncSession, handlers: Handlers, envelope: CloudEvent) -> None:
    event = read_event(envelope)
    if event and (handler := handlers.get(type(event))):
        await handler(session, event)
    if handler := handlers.get(CloudEvent):
        await handler(session, envelope)


def _read(document: dict[str, Any]) -> CloudEvent | str:
    """The envelope, or why it is none."""
    try:
        return CloudEvent.model_validate(document)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, e["loc"])) for e in error.errors())
        return f"no CloudEvent: {wrong}"[:500]


def events_router(handlers: Handlers) -> APIRouter:
    """The door through which other services' relays hand over events when there is no broker."""
    router = NounRouter(prefix=EVENTS_PATH, include_in_schema=False)

    @router.post("")
    async def receive(
        request: Request,
        batch: list[dict[str, Any]],
        _: Annotated[Principal, Depends(requires("events:deliver"))],
    ) -> dict[str, list[str | None]]:
        # Each is read by itself: a refused batch would come again for ever, with all that waits behind it.
        read = [_read(document) for document in batch]
        envelopes = [envelope for envelope in read if isinstance(envelope, CloudEvent)]
        # Shielded: a sender that hangs up has not taken back what it sent.
        taken = iter(await asyncio.shield(consume(request.state.sessions, handlers, envelopes, "http")))
        return {"refusals": [next(taken) if isinstance(given, CloudEvent) else given for given in read]}

    return router
