"""Events over RabbitMQ 4.3, for a stack with a broker: the connection, the queues, and the sending end.

There is one durable topic exchange, and one quorum queue for each consuming service, bound to the types that it hears. A
refused message is rejected, so that the broker counts the attempt and delays the next; a `nack` would redeliver it at
once and for ever. After the last attempt the broker moves it to `<service>.dead`. Each message is one CloudEvent in
structured mode, with its trace context in the headers too, where the broker's own tools show it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from aio_pika import DeliveryMode, ExchangeType, Message, connect_robust
from aio_pika.abc import (
    AbstractExchange,
    AbstractRobustChannel,
    AbstractRobustConnection,
    AbstractRobustQueue,
)
from aio_pika.exceptions import AMQPError, ChannelPreconditionFailed, PublishError
from yarl import URL

from libs.contracts import SUBSCRIPTIONS
from libs.service_kit.availability import Dependency
from libs.service_kit.events.consumer import EXCHANGE, SYSTEM, Consumer
from libs.service_kit.events.inbox import Handlers
from libs.service_kit.events.relay import Relay
from libs.service_kit.settings import EventSettings, ServiceSettings
from libs.service_kit.transactions import Sessions

DEAD_EXCHANGE = "erp.dead"
CONTENT_TYPE = "application/cloudevents+json"
RECONNECT_SECONDS = 1.0
CONNECT_SECONDS = 5.0
HEARTBEAT_SECONDS = 5
PUBLISH_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 60.0
TRAVELLING = ("traceparent", "tracestate", "requestid")

# Dead letters are read by taking and returning them. An interrupted read counts as a failed delivery, and by default
# the broker drops a message after twenty.
DEAD_QUEUE = {"x-queue-type": "quorum", "x-delivery-limit": -1}

BROKER = Dependency("broker")
# aio-pika would log every second that the broker is still away.
logging.getLogger("aio_pika.robust_connection").setLevel(logging.ERROR)


async def run(
    settings: ServiceSettings,
    sessions: Sessions,
    handlers: Handlers,
    relay: Callable[["RabbitTransport"], Relay],
    restored: Callable[[], object],
) -> None:
    """Run the relay and the consumer until cancelled; `restored` is called as in `connect`.

    Returns when the broker cannot be reached at first, and raises when it has these queues with other arguments.
    """
    url = settings.events.broker_url
    assert url
    try:
        opened = await connect(url.get_secret_value(), restored)
    except (OSError, AMQPError) as error:
        BROKER.failed(error)
        return
    async with opened as connection:
        try:
            incoming = await connection.channel()
            await incoming.set_qos(prefetch_count=settings.events.prefetch)
            exchange = await declare(await connection.channel(on_return_raises=True), settings.events)
            queue = await queue_of(incoming, settings.name, settings.events)
        except ChannelPreconditionFailed as error:
            raise RuntimeError("a queue has other values of EVENTS__MAX_ATTEMPTS or EVENTS__RETRY_SECONDS") from error
        except (OSError, AMQPError) as error:
            BROKER.failed(error)
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(Consumer(sessions, handlers, settings.name).run(queue))
            group.create_task(relay(RabbitTransport(exchange)).run())


class RabbitTransport:
    """Publishes events with confirms. See `relay.Transport`."""

    system, operation = SYSTEM, "publish"

    def __init__(self, exchange: AbstractExchange) -> None:
        self._exchange = exchange

    def place(self, destination: str, event_type: str) -> tuple[str, str | None]:
        """See `relay.Transport`: by the conventions, the exchange and the routing key."""
        return f"{EXCHANGE}:{event_type}", event_type

    async def send(self, destination: str, envelopes: Sequence[dict[str, Any]]) -> list[str | None]:
        """Publish the events in their order, and await all confirms together."""
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
            timestamp=datetime.now(UTC),
            type=envelope["type"],
            user_id=envelope["source"],  # which the broker compares with the user of the connection
            app_id=envelope["source"],
            headers={name: envelope[name] for name in TRAVELLING if name in envelope},
        )
        await self._exchange.publish(message, envelope["type"], timeout=PUBLISH_SECONDS)


def _is_refusal(result: BaseException) -> bool:
    """Whether the broker answers but rejects this one message, for example because no queue is bound to its type."""
    return isinstance(result, PublishError)


async def connect(url: str, restored: Callable[[], object] = lambda: None) -> AbstractRobustConnection:
    """A connection that restores itself and its consumers; `restored` is called whenever it is open.

    Raises when the first attempt fails. A broker that hangs counts as away after three heartbeats.
    """
    given = URL(url)
    with_heartbeat = given.with_query({"heartbeat": HEARTBEAT_SECONDS, **given.query})
    connection = await connect_robust(with_heartbeat, reconnect_interval=RECONNECT_SECONDS, timeout=CONNECT_SECONDS)

    def lost(_: object, error: BaseException | None) -> None:
        if error is None or connection.close_called:
            BROKER.left()
        else:
            BROKER.failed(error)

    def opened(_: object = None) -> None:
        BROKER.is_back()
        restored()

    opened()
    connection.close_callbacks.add(lost)
    connection.reconnect_callbacks.add(opened)
    return connection


async def declare(channel: AbstractRobustChannel, settings: EventSettings) -> AbstractExchange:
    """Declare the exchange and return it. Every service declares all queues, so that no event lacks its queue."""
    exchange = await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
    await channel.declare_exchange(DEAD_EXCHANGE, ExchangeType.DIRECT, durable=True)
    for service, types in SUBSCRIPTIONS.items():
        dead = await channel.declare_queue(dead_queue_name(service), durable=True, arguments=DEAD_QUEUE)
        await dead.bind(DEAD_EXCHANGE, service)
        queue = await queue_of(channel, service, settings)
        for event_type in types:
            await queue.bind(exchange, event_type)
    return exchange


def dead_queue_name(service: str) -> str:
    """The name of the queue for messages that a service has refused at every attempt."""
    return f"{service}.dead"


async def queue_of(channel: AbstractRobustChannel, service: str, settings: EventSettings) -> AbstractRobustQueue:
    """Declare a service's queue. Raises `ChannelPreconditionFailed` when it exists with other arguments."""
    return await channel.declare_queue(service, durable=True, arguments=queue_arguments(service, settings))


def queue_arguments(service: str, settings: EventSettings) -> dict[str, Any]:
    """How the queue retries: after a pause of `retry_seconds`, which grows by the same amount with each refusal.

    The refusal after the `max_attempts`-th is the last. These are arguments of the queue and not a policy of the
    broker, since they come from the settings of the service that declares it; the broker knows none of these. The
    arguments of an existing queue cannot change.
    """
    pause = round(settings.retry_seconds * 1000)
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": settings.max_attempts,
        "x-delayed-retry-type": "failed",
        "x-delayed-retry-min": pause,
        "x-delayed-retry-max": max(pause, round(LONGEST_PAUSE_SECONDS * 1000)),
        "x-dead-letter-exchange": DEAD_EXCHANGE,
        "x-dead-letter-routing-key": service,
        # No dead letter is lost on its way. The broker requires this `x-overflow` with it.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
