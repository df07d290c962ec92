"""Lists and replays the dead letters of a broker: the messages in `<service>.dead`, which no consumer takes.

A quorum queue can only be read by taking its messages and returning them, and a returned message goes to its end. So all
messages are taken and then returned in their order. If that is interrupted, the broker returns them itself: none is
lost, but those that had been taken may then follow the others.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from pydantic import ValidationError

from libs.contracts import CloudEvent, trace_of
from libs.service_kit.events.dead_letters import DeadEvent, Wanted
from libs.service_kit.events.rabbitmq import PUBLISH_SECONDS, dead_queue_name

MOST_TAKEN = 10_000
"""The most messages of a queue that are read to list it. A longer queue loses its order."""
# When more than 32 messages are returned at once, the broker does not keep their order, so they are returned in lots.
LOT = 32
LOT_SECONDS = 2.0
# The headers in which the broker counts attempts. A replayed message must start without them.
DEATH_HEADERS = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")

Moved = Callable[[DeadEvent], None]


async def in_queue(connection: AbstractConnection, service: str, limit: int) -> tuple[list[DeadEvent], int]:
    """A service's dead letters in the order of the queue, at most `limit`, and their count. All stay in the queue.

    Raises `aio_pika.exceptions.ChannelNotFoundEntity` when no service has declared the queue yet, as does `replay_queue`.
    """
    async with _open(connection, service) as (_, queue, count):
        held: list[AbstractIncomingMessage] = []
        try:
            while len(held) < min(count, MOST_TAKEN) and (message := await queue.get(fail=False)):
                held.append(message)
        finally:
            await _give_back(queue, held)
    return [_describe(service, message) for message in held[:limit]], count


async def replay_queue(connection: AbstractConnection, service: str, wanted: Wanted, moved: Moved) -> None:
    """Move dead letters to the service's own queue as new messages; `moved` is called with each.

    Each is published with a confirm before its dead letter is removed: a crash in between leaves both, and the inbox
    ignores the second. Raises `aio_pika.exceptions.DeliveryError` when the queue rejects one, which then stays dead.
    """
    if wanted.destination not in (None, service):
        return
    async with _open(connection, service) as (channel, queue, count):
        held: list[AbstractIncomingMessage] = []
        try:
            for _ in range(count):  # no further: a message that is refused again comes back to the end of this queue
                message = await queue.get(fail=False)
                if message is None:
                    break
                held.append(message)
                found = _describe(service, message)
                if wanted.event_id in (None, found.event_id):
                    # Not to the exchange, which would route it to the other services too.
                    await channel.default_exchange.publish(
                        _as_first_sent(message), service, mandatory=True, timeout=PUBLISH_SECONDS
                    )
                    await message.ack()
                    held.pop()
                    moved(found)
        finally:
            await _give_back(queue, held)


@asynccontextmanager
async def _open(
    connection: AbstractConnection, service: str
) -> AsyncGenerator[tuple[AbstractChannel, AbstractQueue, int]]:
    """A channel with confirms and returns, the dead queue, and how many messages it holds."""
    async with connection.channel(publisher_confirms=True, on_return_raises=True) as channel:
        queue = await channel.get_queue(dead_queue_name(service))
        yield channel, queue, queue.declaration_result.message_count or 0


async def _give_back(queue: AbstractQueue, held: Sequence[AbstractIncomingMessage]) -> None:
    """Return the messages. Closing the channel would also return them, but as failed deliveries."""
    if not held:
        return
    expected = await _count(queue)
    for first in range(0, len(held), LOT):
        lot = held[first : first + LOT]
        await lot[-1].nack(multiple=True, requeue=True)
        expected += len(lot)
        await _until_holds(queue, expected)


async def _until_holds(queue: AbstractQueue, count: int) -> None:
    """Wait until the queue holds `count` messages again, for a limited time, since another client may be taking some."""
    try:
        async with asyncio.timeout(LOT_SECONDS):
            while await _count(queue) < count:
                await asyncio.sleep(0.002)
    except TimeoutError:
        pass


async def _count(queue: AbstractQueue) -> int:
    return (await queue.declare()).message_count or 0


def _as_first_sent(message: AbstractIncomingMessage) -> Message:
    """The message as it was first sent."""
    return Message(
        message.body,
        headers={name: value for name, value in message.headers.items() if not name.startswith(DEATH_HEADERS)},
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        delivery_mode=DeliveryMode.PERSISTENT,
        correlation_id=message.correlation_id,
        message_id=message.message_id,
        timestamp=message.timestamp,
        type=message.type,
        user_id=message.user_id,
        app_id=message.app_id,
    )


def _describe(service: str, message: AbstractIncomingMessage) -> DeadEvent:
    try:
        event = CloudEvent.model_validate_json(message.body)
    except ValidationError:
        event = None
    headers: dict[str, Any] = dict(message.headers)
    deaths: list[dict[str, Any]] = headers.get("x-death") or [{}]
    death = deaths[0]
    reason = str(death.get("reason", ""))
    attempts = headers.get("x-delivery-count", 0)
    wrong = ": no CloudEvent" if not event else "" if event.source == message.user_id else ": not sent by its source"
    return DeadEvent(
        place=f"queue {dead_queue_name(service)}",
        event_id=str(event.id) if event else message.message_id,
        type=event.type if event else message.type,
        source=event.source if event else message.app_id,
        destination=service,
        tenant_id=str(event.tenantid) if event else None,
        happened_at=event.time if event else message.timestamp,
        died_at=death.get("time"),
        attempts=max(int(attempts), 1),
        reason=reason + wrong,
        trace_id=trace_of(event.traceparent if event else headers.get("traceparent")),
    )
