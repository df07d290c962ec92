"""Events over RabbitMQ 4.3: the transport of a stack with a broker, and the consumer of one service's queue.

One durable topic exchange, one quorum queue for each consuming service, bound to the types that it hears. A refused
message is rejected, which counts its attempts and delays it natively; `nack` would bring it back at once and for ever.
After the last attempt it lies in `<service>.dead`. Each message is one CloudEvent in structured mode, with its trace
context in the headers too, where the broker's own tools can see it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from aio_pika import DeliveryMode, ExchangeType, Message, connect_robust
from aio_pika.abc import (
    AbstractExchange,
    AbstractIncomingMessage,
    AbstractRobustChannel,
    AbstractRobustConnection,
    AbstractRobustQueue,
)
from aio_pika.exceptions import PublishError
from prometheus_client import Gauge
from pydantic import ValidationError

from libs.contracts import SUBSCRIPTIONS, CloudEvent
from libs.observability import get_logger
from libs.service_kit.database import Sessions
from libs.service_kit.inbox import Handlers, consume

log = get_logger(__name__)

SYSTEM = "rabbitmq"
EXCHANGE, DEAD_EXCHANGE = "erp.events", "erp.dead"
CONTENT_TYPE = "application/cloudevents+json"
RECONNECT_SECONDS = 1.0
PUBLISH_SECONDS = 5.0
RETRY_SECONDS = 0.5
"""The pause after which an event is tried again when the service's own database does not answer."""
TRAVELLING = ("traceparent", "tracestate", "requestid")

# A second after the first refusal, a second more after each further one; the ninth refusal is the last. In the queue's
# arguments and not in a policy, because a broker that loads definitions creates no default user any more.
RETRIES = {
    "x-delivery-limit": 8,
    "x-delayed-retry-type": "failed",
    "x-delayed-retry-min": 1_000,
    "x-delayed-retry-max": 60_000,
}
# Whoever looks at dead letters takes them and gives them back. A look that is cut short counts as a failed delivery, and
# after the twentieth the broker would throw the message away.
KEPT = {"x-queue-type": "quorum", "x-delivery-limit": -1}

CONNECTED = Gauge("broker_connected", "1 while the service is connected to the message broker")


class RabbitTransport:
    """Publishes events with confirms. See `relay.Transport`."""

    system = SYSTEM

    def __init__(self, exchange: AbstractExchange) -> None:
        self._exchange = exchange

    async def send(self, destination: str, envelopes: Sequence[dict[str, Any]]) -> list[str | None]:
        """Hand over the events in their order; all confirms are awaited together."""
        del destination  # the exchange routes by type
        results = await asyncio.gather(*map(self._publish, envelopes), return_exceptions=True)
        lost = [result for result in results if isinstance(result, BaseException) and not _is_refusal(result)]
        if lost:
            raise lost[0]
        return [f"{type(result).__name__}: {result}"[:500] if result else None for result in results]

    async def _publish(self, envelope: dict[str, Any]) -> None:
        message = Message(
            orjson.dumps(envelope),
            content_type=CONTENT_TYPE,
            delivery_mode=DeliveryMode.PERSISTENT,
            message_id=envelope["id"],
            type=envelope["type"],
            app_id=envelope["source"],
            headers={name: envelope[name] for name in TRAVELLING if name in envelope},
        )
        await self._exchange.publish(message, envelope["type"], timeout=PUBLISH_SECONDS)


def _is_refusal(result: BaseException) -> bool:
    """Whether the broker is there and does not take this one message, as when nobody is bound to its type."""
    return isinstance(result, PublishError)


async def connect(url: str, tell: Callable[[bool], None] = lambda _: None) -> AbstractRobustConnection:
    """A connection that restores itself and its consumers; `tell` hears whether there is one.

    Raises when the first attempt fails.
    """
    connection = await connect_robust(url, reconnect_interval=RECONNECT_SECONDS)

    def note(connected: bool) -> None:
        CONNECTED.set(connected)
        tell(connected)

    def lost(_: object, error: BaseException | None) -> None:
        note(False)
        if error is not None and not connection.close_called:
            log.warning("broker connection lost", reason=f"{type(error).__name__}: {error}")

    def restored(_: object) -> None:
        note(True)
        log.info("broker connection restored")

    note(True)

    connection.close_callbacks.add(lost)
    connection.reconnect_callbacks.add(restored)
    return connection


async def declare(channel: AbstractRobustChannel) -> AbstractExchange:
    """The exchange, every service's queue and its dead letters: whoever comes first declares all, so no event is early."""
    exchange = await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
    await channel.declare_exchange(DEAD_EXCHANGE, ExchangeType.DIRECT, durable=True)
    for service, types in SUBSCRIPTIONS.items():
        dead = await channel.declare_queue(dead_queue_name(service), durable=True, arguments=KEPT)
        await dead.bind(DEAD_EXCHANGE, service)
        queue = await queue_of(channel, service)
        for event_type in types:
            await queue.bind(exchange, event_type)
    return exchange


def dead_queue_name(service: str) -> str:
    """Where the messages lie that a service has refused at every attempt."""
    return f"{service}.dead"


async def queue_of(channel: AbstractRobustChannel, service: str) -> AbstractRobustQueue:
    """A service's queue."""
    arguments = {
        "x-queue-type": "quorum",
        **RETRIES,
        "x-dead-letter-exchange": DEAD_EXCHANGE,
        "x-dead-letter-routing-key": service,
        # No dead letter is lost on its way; the broker asks for the other setting with it.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    return await channel.declare_queue(service, durable=True, arguments=arguments)


class Consumer:
    """Takes one service's events: as many at a time as `prefetch`, each acknowledged after its effect is committed."""

    def __init__(self, sessions: Sessions, handlers: Handlers) -> None:
        self._sessions = sessions
        self._handlers = handlers
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    async def run(self, queue: AbstractRobustQueue) -> None:
        """Consume until cancelled; then finish what has begun, so that nothing of it comes again."""
        tag = await queue.consume(self._begin)
        try:
            await asyncio.Event().wait()
        finally:
            await queue.cancel(tag)
            self._stopping.set()
            if self._running:
                await asyncio.wait(self._running)

    async def _begin(self, message: AbstractIncomingMessage) -> None:
        task = asyncio.create_task(self._take(message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _take(self, message: AbstractIncomingMessage) -> None:
        try:
            envelope = CloudEvent.model_validate_json(message.body)
        except ValidationError:
            log.error("message is no CloudEvent", message_id=message.message_id)
            await message.reject(requeue=False)
            return
        while True:
            try:
                [refusal] = await consume(self._sessions, self._handlers, [envelope], SYSTEM)
                break
            except Exception as error:
                # Not the event's fault: nothing could be committed at all. Held back, since a reject would count.
                log.warning("event could not be committed", event_id=str(envelope.id), error=error)
            if await self._stops_within(RETRY_SECONDS):
                return  # never acknowledged, so it comes again
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
