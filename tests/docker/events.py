"""Fixtures for events that go through RabbitMQ to personnel, for the tests of the broker and of its dead letters."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from aio_pika.abc import AbstractRobustConnection
from stack.settings import DEFAULTS
from yarl import URL

from libs.contracts import CloudEvent
from libs.contracts.tenant import TenantCreated
from libs.service_kit.events import rabbitmq
from libs.service_kit.events.consumer import Consumer
from libs.service_kit.settings import EventSettings
from libs.service_kit.transactions import Sessions
from tests.fixtures.waiting import eventually_async

SECONDS = 20

# With two retries, after tenths of a second.
QUICK = EventSettings(max_attempts=2, retry_seconds=0.1)


@pytest.fixture(scope="session")
def service_name() -> str:
    return "personnel"


def as_service(url: str, service: str) -> str:
    """The URL for a service's own user."""
    password = DEFAULTS[f"{service.upper()}_BROKER_PASSWORD"]
    return str(URL(url).with_user(f"{service}-service").with_password(password))


@pytest.fixture
async def connection(rabbit: tuple[str, Any]) -> AsyncIterator[AbstractRobustConnection]:
    """The administrator's."""
    async with await rabbitmq.connect(rabbit[0]) as connection:
        yield connection


@pytest.fixture
async def transport(rabbit: tuple[str, Any]) -> AsyncIterator[rabbitmq.RabbitTransport]:
    """The sending end of tenant."""
    async with await rabbitmq.connect(as_service(rabbit[0], "tenant")) as own:
        yield rabbitmq.RabbitTransport(await rabbitmq.declare(await own.channel(on_return_raises=True), QUICK))


@pytest.fixture
async def consuming(
    rabbit: tuple[str, Any], transport: rabbitmq.RabbitTransport, sessions: Sessions
) -> AsyncIterator[Callable[[Any], Awaitable[asyncio.Task[None]]]]:
    """Consume personnel's queue with a handler: `await consuming(handler)` starts the consumer and returns its task."""
    tasks: list[asyncio.Task[None]] = []

    async def begin(handler: Any) -> asyncio.Task[None]:
        channel = await own.channel()
        await channel.set_qos(prefetch_count=4)
        queue = await rabbitmq.queue_of(channel, "personnel", QUICK)
        tasks.append(asyncio.create_task(Consumer(sessions, {TenantCreated: handler}, "personnel").run(queue)))
        return tasks[-1]

    async with await rabbitmq.connect(as_service(rabbit[0], "personnel")) as own:
        yield begin
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def created(tenant_id: UUID, **more: Any) -> dict[str, Any]:
    """The envelope of a TenantCreated, with more fields or other values."""
    data = TenantCreated(tenant_id=tenant_id, code="shop", name="Shop").model_dump(mode="json")
    event = CloudEvent(
        id=uuid4(), source="tenant-service", type=TenantCreated.type, subject=f"tenant/{tenant_id}",
        time=datetime.now(UTC), tenantid=tenant_id, data=data,
    )  # fmt: skip
    return event.model_dump(mode="json", exclude_none=True) | more


async def until_there_are(wanted: int, count: Callable[[], Awaitable[int]]) -> None:
    """Wait until `count` gives this number."""
    counted: list[int] = []

    async def is_reached() -> bool:
        counted[:] = [await count()]
        return counted == [wanted]

    await eventually_async(is_reached, SECONDS, lambda: f"the count is {counted} in place of {wanted}")


async def departments(superuser: asyncpg.Connection, tenant_id: UUID) -> int:
    """How many departments a tenant has: the handler under test makes one of each event."""
    return await superuser.fetchval("select count(*) from departments where tenant_id = $1", tenant_id)


async def waiting(connection: AbstractRobustConnection, queue: str) -> int:
    """How many messages are ready in a queue."""
    channel = await connection.channel()
    found = await channel.declare_queue(queue, passive=True)
    await channel.close()
    return found.declaration_result.message_count or 0
