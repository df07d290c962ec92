"""The consumer of one service's queue of RabbitMQ: an event is acknowledged after its effect is committed."""

import asyncio
from functools import partial
from typing import Any

from aio_pika.abc import AbstractIncomingMessage, AbstractRobustQueue
from pydantic import ValidationError

from libs.contracts import CloudEvent
from libs.observability import get_logger
from libs.service_kit import availability
from libs.service_kit.errors import ServiceError
from libs.service_kit.events.inbox import Handlers, consume, is_from
from libs.service_kit.shares import OWN_WORK, TENANT
from libs.service_kit.transactions import Sessions

log = get_logger(__name__)

SYSTEM, EXCHANGE = "rabbitmq", "erp.events"
UNCOMMITTED_PAUSE_SECONDS = 0.5
"""The pause before an event is handled again when the service's own database does not answer."""


def _queue_place(service: str, event_type: str) -> str:
    """By the conventions: the exchange, the routing key and the queue."""
    return f"{EXCHANGE}:{event_type}:{service}"


class Consumer:
    """Consumes one service's queue, up to the prefetch count at a time; acknowledges each event after its commit."""

    def __init__(self, sessions: Sessions, handlers: Handlers, service: str) -> None:
        self._sessions = sessions
        self._handlers = handlers
        self._place = partial(_queue_place, service)
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._failures = availability.Failures("event could not be committed", ServiceError)

    async def run(self, queue: AbstractRobustQueue) -> None:
        """Consume until cancelled, then finish the events that have begun, so that none of them is redelivered."""
        tag = await queue.consume(self._begin)
        try:
            await asyncio.Event().wait()
        finally:
            self._stopping.set()
            try:
                await queue.cancel(tag)
            finally:
                if self._running:
                    await asyncio.wait(self._running)

    async def _begin(self, message: AbstractIncomingMessage) -> None:
        if self._stopping.is_set():
            # The closing channel would return the message too, but as a failed attempt.
            await message.nack(requeue=True)
            return
        task = asyncio.create_task(self._take(message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _take(self, message: AbstractIncomingMessage) -> None:
        TENANT.set(OWN_WORK)  # the connection may have been opened by whoever
        try:
            envelope = CloudEvent.model_validate_json(message.body)
        except ValidationError:
            log.error("message is no CloudEvent", message_id=message.message_id)
            await message.reject(requeue=False)
            return
        # The broker accepts no other user's name, nor does it demand one.
        if not is_from(message.user_id, envelope):
            await message.reject(requeue=False)
            return
        # A quorum queue sets this header from the second delivery on.
        count: Any = message.headers.get("x-delivery-count")
        way = {
            "routing_key": message.routing_key,
            "attempt": int(count or 0) + 1,
            "sent_at": message.timestamp.timestamp() if message.timestamp else None,
        }
        while True:
            try:
                [refusal] = await consume(
                    self._sessions, self._handlers, [envelope], SYSTEM, destination=self._place, **way
                )
                break
            except Exception as error:
                # Nothing could be committed, through no fault of the event. It is tried again here: a reject would count.
                if not availability.note(error):
                    self._failures.tell(error, event_id=str(envelope.id))
            if await self._stops_within(UNCOMMITTED_PAUSE_SECONDS):
                return  # it is not acknowledged, so the broker redelivers it
        if refusal is None:
            await message.ack()
        else:
            await message.reject(requeue=True)

    async def _stops_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._stopping.wait()
        except TimeoutError:
            return False
