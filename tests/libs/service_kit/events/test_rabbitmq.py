"""A queue has the arguments of existing volumes, since the broker refuses any other; a consumer that stops takes no more.

What a real broker does is in tests/docker/test_rabbitmq.py.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from opentelemetry.trace import SpanKind
from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import create_async_engine

from libs.contracts import CloudEvent
from libs.contracts.budget import AccountOpened
from libs.service_kit.events import rabbitmq
from libs.service_kit.events.consumer import Consumer
from libs.service_kit.events.rabbitmq import RabbitTransport, queue_arguments
from libs.service_kit.settings import EventSettings
from libs.service_kit.transactions import create_sessions
from tests.fixtures.waiting import eventually_async


class Message:
    """A message that notes how it is settled."""

    message_id = "m"
    routing_key = AccountOpened.type
    timestamp: datetime | None = None

    def __init__(self, tenant_id: UUID, user_id: str | None = "budget-service") -> None:
        self.user_id = user_id
        data = AccountOpened(account_id=uuid4(), code="a", name="A").model_dump(mode="json")
        event = CloudEvent(
            id=uuid4(),
            source="budget-service",
            subject="a",
            type=AccountOpened.type,
            time=datetime.now(UTC),
            tenantid=tenant_id,
            data=data,
        )
        self.body = event.model_dump_json().encode()
        self.settled: list[str] = []
        self.headers: dict[str, int] = {}

    async def ack(self) -> None:
        self.settled.append("ack")

    async def reject(self, requeue: bool = False) -> None:
        self.settled.append("retry" if requeue else "reject")

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


class Queue:
    """A queue that delivers one message to whoever consumes it."""

    def __init__(self, message: Message) -> None:
        self.message = message

    async def consume(self, callback: Callable[[Any], Awaitable[None]]) -> str:
        await callback(self.message)
        return "tag"

    async def cancel(self, tag: str) -> None: ...


async def test_the_spans_of_both_ends_name_the_place_by_the_conventions(sessions, tenant_id, spans):
    """Producer: exchange and routing key. Consumer: exchange, routing key and queue, and which attempt it is."""
    producer: Any = RabbitTransport.place(cast("Any", None), "broker", AccountOpened.type)
    assert producer == ("erp.events:account.opened.v1", "account.opened.v1")
    message = Message(tenant_id)
    message.headers["x-delivery-count"] = 2
    queue: Any = Queue(message)
    running = asyncio.create_task(Consumer(sessions, {}, "budget").run(queue))

    async def is_settled() -> bool:
        return bool(message.settled)

    await eventually_async(is_settled, 10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    [span] = [span for span in spans() if span.kind is SpanKind.CONSUMER]
    assert span.name == "process erp.events:account.opened.v1:budget"
    assert span.attributes["messaging.rabbitmq.destination.routing_key"] == "account.opened.v1"
    assert span.attributes["delivery.attempt"] == 3


@pytest.mark.parametrize("user_id", [None, "tenant-service", "budget"])
async def test_an_event_in_the_name_of_another_service_has_no_effect_and_is_told(sessions, tenant_id, lines, user_id):
    handled: list[Any] = []

    async def handle(*given: Any) -> None:
        handled.append(given)

    message = Message(tenant_id, user_id)
    queue: Any = Queue(message)
    running = asyncio.create_task(Consumer(sessions, {AccountOpened: handle}, "budget").run(queue))

    async def is_settled() -> bool:
        return bool(message.settled)

    await eventually_async(is_settled, 10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (message.settled, handled) == (["reject"], [])
    [line] = [line for line in lines() if line["message"] == "event in the name of another service refused"]
    assert (line["level"], line["event_type"]) == ("warning", AccountOpened.type)
    assert line.get("client_id") == user_id


async def test_the_broker_is_told_who_sends_an_event(tenant_id):
    sent: list[Any] = []

    class Exchange:
        async def publish(self, message: Any, *_: Any, **__: Any) -> None:
            sent.append(message)

    exchange: Any = Exchange()
    envelope = json.loads(Message(tenant_id).body)
    assert await RabbitTransport(exchange).send("broker", [envelope]) == [None]
    assert [message.user_id for message in sent] == ["budget-service"]


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


def test_the_shortest_pause_is_one():
    [shortest] = [each.ge for each in EventSettings.model_fields["retry_seconds"].metadata if hasattr(each, "ge")]
    assert queue_arguments("budget", EventSettings(retry_seconds=shortest))["x-delayed-retry-min"] == 1


async def test_a_consumer_whose_cancel_fails_stops_all_the_same_and_accepts_nothing_more(tenant_id):
    away = create_async_engine("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    begun, late = Message(tenant_id), Message(tenant_id)  # what has begun cannot be committed
    queue: Any = LostQueue(late)
    before = asyncio.all_tasks()
    running = asyncio.create_task(Consumer(create_sessions(away), {}, "probe").run(queue))
    async with asyncio.timeout(10):
        await (await queue.deliver)(begun)
        running.cancel()
        with pytest.raises(ConnectionError, match="lost"):
            await running
    assert (begun.settled, late.settled) == ([], ["requeue"])
    assert asyncio.all_tasks() == before


async def test_a_broker_that_accepts_a_connection_and_says_nothing_is_away(monkeypatch):
    monkeypatch.setattr(rabbitmq, "CONNECT_SECONDS", 0.1)
    silent = asyncio.Event()

    async def say_nothing(*_: object) -> None:
        await silent.wait()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    seen: list[bool] = []
    async with asyncio.timeout(10):
        with pytest.raises(OSError):
            await rabbitmq.connect(f"amqp://127.0.0.1:{server.sockets[0].getsockname()[1]}/", seen.append)
    silent.set()
    server.close()
    assert seen == []
    assert REGISTRY.get_sample_value("dependency_up", {"dependency": "broker"}) == 0
