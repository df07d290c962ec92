"""What only a stack with RabbitMQ emits is what `libs/telemetry.yml` marks `where: docker`."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import orjson
from aio_pika import Message
from prometheus_client import REGISTRY, generate_latest

from libs.contracts.tenant import TenantCreated
from libs.observability.traces.files import export_request
from libs.service_kit.events.outbox import Outbox, publish
from libs.service_kit.events.relay import Relay
from libs.service_kit.settings import EventSettings
from libs.service_kit.transactions import create_sessions, transaction
from libs.services import SERVICES
from services.personnel.departments.consumers import on_tenant_created
from tests.docker.events import SECONDS, created
from tests.fixtures import emitted
from tests.fixtures.waiting import eventually_async

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_what_is_marked_is_emitted_by_a_service_with_a_broker(
    spans, lines, transport, consuming, connection, sessions, tenant_id
):
    await consuming(on_tenant_created)
    outbox = Outbox("tenant-service", lambda _: ["broker"])
    async with transaction(create_sessions(sessions.kw["bind"], outbox), tenant_id) as session:
        publish(session, TenantCreated(tenant_id=tenant_id, code="shop", name="Shop"))
    await Relay("personnel", "broker", sessions, transport, EventSettings(), asyncio.Event()).relay_batch()
    queue = (await connection.channel()).default_exchange
    late = orjson.dumps(created(uuid4(), traceparent=TRACE))
    sent = {"timestamp": datetime.now(UTC) - timedelta(minutes=10), "user_id": "tenant-service"}
    await queue.publish(Message(late, **sent), "personnel")
    await queue.publish(Message(b"{}", message_id="no event"), "personnel")
    missing = emitted.named("docker")

    async def is_complete() -> bool:
        page = generate_latest(REGISTRY).decode()  # the same in all services
        missing.difference_update(
            emitted.of_spans([export_request(spans())]),
            (fact for line in lines() for fact in emitted.of_line(line)),
            (fact for service in SERVICES for fact in emitted.of_page(service.name, page)),
        )
        return not missing

    await eventually_async(is_complete, SECONDS, lambda: f"never emitted: {sorted(missing)}")
    of_events = {fact for fact in emitted.of_spans([export_request(spans())]) if fact.of in ("producer", "consumer")}
    emitted.must_be_named(of_events)
    channel = await connection.channel()
    await (await (await channel.declare_queue("personnel.dead", passive=True)).get()).ack()
