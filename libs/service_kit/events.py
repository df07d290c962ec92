"""Which way a service's events travel, and the work beside the requests that this takes."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from libs.contracts import SUBSCRIPTIONS, subscribers
from libs.observability import get_logger
from libs.service_kit.client import ServiceAccount, ServiceClient
from libs.service_kit.database import Sessions, create_pool, create_sessions
from libs.service_kit.inbox import Handlers
from libs.service_kit.outbox import Outbox
from libs.service_kit.relay import Relay, watch
from libs.service_kit.settings import EventSettings, ServiceSettings
from libs.service_kit.transport import HttpTransport

log = get_logger(__name__)

EVENT_DEADLINE_SECONDS = 15.0
"""A batch of a hundred events is one request and one transaction."""
BROKER = "broker"


@dataclass
class Link:
    """Whether events can travel now; always so without a broker, where each destination is tried by itself."""

    connected: bool = True

    def note(self, connected: bool) -> None:
        """Remember what the connection tells."""
        self.connected = connected


Work = Callable[[Sessions], Awaitable[None]]
"""Something that runs beside the requests for as long as the service does."""


def destinations(settings: EventSettings) -> Callable[[str], list[str]]:
    """Where the outbox sends an event type: to the broker, or without one to each service that hears it."""
    return (lambda _: [BROKER]) if settings.transport == "rabbitmq" else subscribers


async def work(
    stack: AsyncExitStack,
    settings: ServiceSettings,
    outbox: Outbox,
    auth: ServiceClient,
    handlers: Handlers,
    link: Link,
) -> dict[str, Work]:
    """The relays, and with a broker the consumer, by name; `link` follows the broker's connection."""
    match settings.events:
        case EventSettings(transport="rabbitmq", broker_url=url) if url:
            waker = _waker(outbox, BROKER)
            link.note(False)
            address = url.get_secret_value()
            sending = _sending(stack, settings, outbox)
            return {
                "broker": lambda sessions: _talk_to_broker(address, settings, handlers, sessions, sending, waker, link),
                "watch": lambda _: watch(settings.name, sending, outbox),
            }
        case EventSettings(transport="http", client_secret=secret) if secret:
            account = ServiceAccount(auth, f"{settings.name}-service", secret.get_secret_value())
            return await _relays_by_http(stack, settings, outbox, account)
        case _:
            log.warning("events wait in the outbox: EVENTS__TRANSPORT is none")
            return {}


async def _relays_by_http(
    stack: AsyncExitStack, settings: ServiceSettings, outbox: Outbox, account: ServiceAccount
) -> dict[str, Work]:
    """A relay for each service that hears events, with a client of its own: slow events must not open the breaker of calls."""
    clients = {
        name: await stack.enter_async_context(ServiceClient(name, settings.services.of(name), EVENT_DEADLINE_SECONDS))
        for name in SUBSCRIPTIONS
    }
    transport = HttpTransport(clients, account)
    sending = _sending(stack, settings, outbox)

    def relay(destination: str) -> Work:
        waker = _waker(outbox, destination)
        return lambda _: Relay(settings.name, destination, sending, transport, settings.events, waker).run()

    relays = {f"relay to {destination}": relay(destination) for destination in SUBSCRIPTIONS}
    return {**relays, "watch": lambda _: watch(settings.name, sending, outbox)}


def _sending(stack: AsyncExitStack, settings: ServiceSettings, outbox: Outbox) -> Sessions:
    """Sessions of a pool of its own: a relay keeps its transaction open while the other side works on a batch."""
    engine = create_pool(settings.database, len(SUBSCRIPTIONS) + 1)
    stack.push_async_callback(engine.dispose)
    return create_sessions(engine, outbox)


async def _talk_to_broker(
    url: str,
    settings: ServiceSettings,
    handlers: Handlers,
    sessions: Sessions,
    sending: Sessions,
    waker: asyncio.Event,
    link: Link,
) -> None:
    """Publish and consume until cancelled. Raises when the broker cannot be reached at first."""
    from libs.service_kit import broker  # aio-pika takes 20 MB, which a stack without a broker need not carry

    async with await broker.connect(url, link.note) as connection, asyncio.TaskGroup() as group:
        exchange = await broker.declare(await connection.channel(on_return_raises=True))
        incoming = await connection.channel()
        await incoming.set_qos(prefetch_count=settings.events.prefetch)
        queue = await broker.queue_of(incoming, settings.name)
        relay = Relay(settings.name, BROKER, sending, broker.RabbitTransport(exchange), settings.events, waker)
        group.create_task(broker.Consumer(sessions, handlers).run(queue))
        group.create_task(relay.run())


def _waker(outbox: Outbox, destination: str) -> asyncio.Event:
    return outbox.wakers.setdefault(destination, asyncio.Event())
