"""A queue has the arguments of existing volumes, since the broker refuses any other; a consumer that stops takes no more.

What a real broker does is in tests/docker/test_rabbitmq.py.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from libs.contracts import CloudEvent
from libs.contracts.budget import AccountOpened
from libs.service_kit.events.rabbitmq import Consumer, queue_arguments
from libs.service_kit.settings import EventSettings
from libs.service_kit.transactions import create_sessions


class Message:
    """A message that notes how it is settled."""

    message_id = "m"

    def __init__(self, tenant_id: UUID) -> None:
        data = AccountOpened(account_id=uuid4(), code="a", name="A").model_dump(mode="json")
        event = CloudEvent(
            id=uuid4(),
            source="probe",
            subject="a",
            type=AccountOpened.type,
            time=datetime.now(UTC),
            tenantid=tenant_id,
            data=data,
        )
        self.body = event.model_dump_json().encode()
        self.settled: list[str] = []

    async def ack(self) -> None:
        self.settled.append("ack")

    async def reject(self, requeue: bool = False) -> None:
        self.settled.append("reject")

    async def nack(self, requeue: bool = True) -> None:
        self.settled.append("requeue" if requeue else "nack")


class LostQueue:
    """A queue whose connection is lost while its consumer is cancelled, just after one more message has come."""

    def __init__(self, late: Message) -> None:
        self.late = late
        self.deliver: asyncio.Future[Callable[[Any], Awaitable[None]]] = asyncio.Future()

    async def consume(self, callback: Callable[[Any], Awaitable[None]]) -> str:
        self.deliver.set_result(callback)
        return "tag"

    async def cancel(self, tag: str) -> None:
        await (await self.deliver)(self.late)
        raise ConnectionError("lost")


def test_at_the_defaults_they_are_those_of_every_queue_that_exists():
    assert queue_arguments("budget", EventSettings()) == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 8,
        "x-delayed-retry-type": "failed",
        "x-delayed-retry-min": 1_000,
        "x-delayed-retry-max": 60_000,
        "x-dead-letter-exchange": "erp.dead",
        "x-dead-letter-routing-key": "budget",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def test_attempts_and_pauses_follow_the_settings():
    arguments = queue_arguments("budget", EventSettings(max_attempts=3, retry_seconds=90.5))
    assert (arguments["x-delivery-limit"], arguments["x-delayed-retry-min"]) == (3, 90_500)
    assert arguments["x-delayed-retry-max"] == 90_500


async def test_a_consumer_whose_cancel_fails_stops_all_the_same_and_accepts_nothing_more(tenant_id):
    away = create_async_engine("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    begun, late = Message(tenant_id), Message(tenant_id)  # what has begun cannot be committed
    queue: Any = LostQueue(late)
    before = asyncio.all_tasks()
    running = asyncio.create_task(Consumer(create_sessions(away), {}).run(queue))
    async with asyncio.timeout(10):
        await (await queue.deliver)(begun)
        running.cancel()
        with pytest.raises(ConnectionError, match="lost"):
            await running
    assert (begun.settled, late.settled) == ([], ["requeue"])
    assert asyncio.all_tasks() == before
