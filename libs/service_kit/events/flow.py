"""The transport of a service's events, and the background work that it needs."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from libs.contracts import subscribers
from libs.observability import get_logger
from libs.service_kit.background import Background
from libs.service_kit.client import ServiceClient, open_clients
from libs.service_kit.database import create_pool
from libs.service_kit.events.http import HttpTransport
from libs.service_kit.events.inbox import Handlers
from libs.service_kit.events.outbox import Counts, Outbox
from libs.service_kit.events.relay import Relay, watch
from libs.service_kit.service_account import ServiceAccount
from libs.service_kit.settings import ServiceSettings
from libs.service_kit.transactions import Sessions, create_sessions
from libs.services import SERVICES

log = get_logger(__name__)

DEADLINE_SECONDS = 15.0
"""The time for one batch: one request and one transaction of up to a hundred events."""
BROKER = "broker"


def create_outbox(settings: ServiceSettings, counts: Counts | None = None) -> Outbox:
    """The service's outbox: its events go to the broker, or without one to each service that hears them."""
    destinations = _to_broker if settings.events.transport == "rabbitmq" else subscribers
    return Outbox(f"{settings.name}-service", destinations, counts=counts or {})


def _to_broker(_: str) -> list[str]:
    return [BROKER]


@asynccontextmanager
async def flow(
    settings: ServiceSettings, outbox: Outbox, auth: ServiceClient, handlers: Handlers
) -> AsyncGenerator[dict[str, Background]]:
    """Yield the relays by name, and with a broker also the consumer."""
    match settings.events.transport:
        case "http":
            async with _by_http(settings, outbox, auth) as work:
                yield work
        case "rabbitmq":
            async with _by_broker(settings, outbox, handlers) as work:
                yield work
        case "none":
            log.warning("events wait in the outbox: EVENTS__TRANSPORT is none")
            yield {}


@asynccontextmanager
async def _by_http(
    settings: ServiceSettings, outbox: Outbox, auth: ServiceClient
) -> AsyncGenerator[dict[str, Background]]:
    """A relay for each service, with clients of its own: slow events must not open the circuit breaker of ordinary calls."""
    assert settings.events.client_secret
    account = ServiceAccount(auth, f"{settings.name}-service", settings.events.client_secret.get_secret_value())
    destinations = [service.name for service in SERVICES]
    async with (
        _relay_sessions(settings, outbox, len(destinations)) as sessions,
        open_clients(settings.services, destinations, DEADLINE_SECONDS) as clients,
    ):
        transport = HttpTransport(clients, account)

        def relay(to: str) -> Background:
            return lambda _: Relay(settings.name, to, sessions, transport, settings.events, outbox.waker(to)).run()

        relays = {f"relay to {destination}": relay(destination) for destination in destinations}
        yield {**relays, "watch": lambda _: watch(settings.name, sessions, outbox)}


@asynccontextmanager
async def _by_broker(
    settings: ServiceSettings, outbox: Outbox, handlers: Handlers
) -> AsyncGenerator[dict[str, Background]]:
    """One relay to the broker, and the consumer of this service's queue, on one connection."""
    from libs.service_kit.events import rabbitmq  # aio-pika takes 20 MB, so it is imported only with a broker

    back = asyncio.Event()
    async with _relay_sessions(settings, outbox, 1) as sending:

        def relay(transport: rabbitmq.RabbitTransport) -> Relay:
            return Relay(settings.name, BROKER, sending, transport, settings.events, outbox.waker(BROKER), back)

        yield {
            "broker": lambda sessions: rabbitmq.run(settings, sessions, handlers, relay, back.set),
            "watch": lambda _: watch(settings.name, sending, outbox),
        }


@asynccontextmanager
async def _relay_sessions(settings: ServiceSettings, outbox: Outbox, relays: int) -> AsyncGenerator[Sessions]:
    """Sessions with a separate pool: a relay keeps its transaction open while the destination handles a batch."""
    engine = create_pool(settings.database, relays + 1)  # one for `watch`
    try:
        yield create_sessions(engine, outbox)
    finally:
        await engine.dispose()
