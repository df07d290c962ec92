"""Events over HTTP, for a stack without a broker: the sending end and the receiving end."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError

from libs.contracts import CloudEvent
from libs.observability.traces.clients import quietly
from libs.service_kit.answers import Refused
from libs.service_kit.auth import Principal, requires
from libs.service_kit.client import ServiceClient
from libs.service_kit.events.inbox import Handlers, consume, is_from
from libs.service_kit.limits import MAX_BODY_BYTES, MAX_VALUES, LimitedRoute
from libs.service_kit.routing import NounRouter
from libs.service_kit.service_account import ServiceAccount

PATH = "/internal/events"
SEND_SECONDS = 25.0
"""The time for one batch in however many requests: the relay's transaction holds its rows meanwhile, and the database
ends one that idles for thirty seconds. What was accepted by then is sent again, and known to its receiver."""


class _BatchRoute(LimitedRoute):
    """A route for a batch, which may be larger than another body: only a service account may deliver events."""

    max_body_bytes = 4 * MAX_BODY_BYTES
    max_values = 20 * MAX_VALUES


class HttpTransport:
    """Posts batches of CloudEvents directly to the subscribing service.

    A batch belongs to many traces, so the call makes no span: each event has its own span and carries its context.
    """

    system, operation = "http", "send"

    def __init__(self, clients: Mapping[str, ServiceClient], account: ServiceAccount) -> None:
        self._clients = clients
        self._account = account

    def place(self, destination: str, event_type: str) -> tuple[str, str | None]:
        """See `relay.Transport`."""
        return inbox_of(destination, event_type), None

    async def send(self, destination: str, envelopes: Sequence[dict[str, Any]]) -> list[str | None]:
        """See `relay.Transport`."""
        with quietly():
            async with asyncio.timeout(SEND_SECONDS):
                return await self._send(destination, envelopes)

    async def _send(self, destination: str, envelopes: Sequence[dict[str, Any]]) -> list[str | None]:
        try:
            return await self._clients[destination].post(
                PATH,
                lambda answer: list[str | None](answer["refusals"]),
                token=await self._account.token(),
                json=list(envelopes),
                content_type="application/cloudevents-batch+json",
            )
        except Refused as error:
            if error.status == 401:
                self._account.forget()
            if error.status != 413 or len(envelopes) == 1:
                raise
        half = len(envelopes) // 2
        return [*await self._send(destination, envelopes[:half]), *await self._send(destination, envelopes[half:])]


def inbox_of(service: str, event_type: str) -> str:
    """The destination of events of this type, as the spans of both ends name it."""
    return f"{service}:{event_type}"


def events_router(service: str, handlers: Handlers) -> APIRouter:
    """The route to which `HttpTransport` posts."""
    router = NounRouter(prefix=PATH, include_in_schema=False, route_class=_BatchRoute)

    @router.post("")
    async def receive(
        request: Request,
        batch: list[Any],
        sender: Annotated[Principal, Depends(requires("events:deliver"))],
    ) -> dict[str, list[str | None]]:
        # Each event is parsed on its own: a batch refused as a whole would be sent again for ever and block the queue.
        read = [_read(document, sender.client_id) for document in batch]
        envelopes = [envelope for envelope in read if isinstance(envelope, CloudEvent)]
        # Shielded, so that the batch is also committed when the sender disconnects.
        consuming = consume(
            request.state.sessions, handlers, envelopes, HttpTransport.system, destination=partial(inbox_of, service)
        )
        taken = iter(await asyncio.shield(consuming))
        return {"refusals": [next(taken) if isinstance(given, CloudEvent) else given for given in read]}

    return router


def _read(document: object, sender: str | None) -> CloudEvent | str:
    """The envelope, or why it is refused: it is none, or speaks for another service than its sender."""
    try:
        envelope = CloudEvent.model_validate(document)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, e["loc"])) for e in error.errors())
        return f"no CloudEvent: {wrong}"[:500]
    return envelope if is_from(sender, envelope) else "the source is not the sender"
