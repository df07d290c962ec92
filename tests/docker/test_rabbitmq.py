"""Events through a real broker: each has its effect once, a failing one becomes a dead letter, and none is lost."""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import create_async_engine

from libs.contracts import CloudEvent
from libs.contracts.tenant import TenantCreated
from libs.service_kit.events import rabbitmq
from libs.service_kit.events.outbox import Outbox, publish
from libs.service_kit.events.relay import Relay
from libs.service_kit.settings import EventSettings
from libs.service_kit.transactions import create_sessions, transaction
from services.personnel.departments.consumers import on_tenant_created
from tests.docker.events import QUICK, SECONDS, created, departments, until_there_are, waiting
from tests.fixtures.waiting import eventually_async


async def test_an_event_goes_from_the_outbox_through_the_broker_and_has_its_effect_once(
    transport, consuming, sessions, superuser, tenant_id
):
    await consuming(on_tenant_created)
    outbox = Outbox("tenant-service", lambda _: ["broker"])
    sessions = create_sessions(sessions.kw["bind"], outbox)
    async with transaction(sessions, tenant_id) as session:
        publish(session, TenantCreated(tenant_id=tenant_id, code="shop", name="Shop"))
    relay = Relay("personnel", "broker", sessions, transport, EventSettings(), asyncio.Event())
    assert await relay.relay_batch() >= 1
    await until_there_are(1, lambda: departments(superuser, tenant_id))
    assert await relay.relay_batch() == 0


async def test_a_message_that_comes_twice_has_one_effect(transport, consuming, superuser, tenant_id, connection):
    event = created(tenant_id)
    assert await transport.send("broker", [event, event]) == [None, None]
    await consuming(on_tenant_created)
    await until_there_are(1, lambda: departments(superuser, tenant_id))
    await until_there_are(0, lambda: waiting(connection, "personnel"))
    assert await departments(superuser, tenant_id) == 1


async def test_a_failing_event_is_tried_again_and_then_laid_aside_with_its_headers(
    transport, consuming, connection, superuser, tenant_id
):
    tries: list[UUID] = []

    async def refuse(session: Any, event: TenantCreated) -> None:
        await on_tenant_created(session, event)
        tries.append(event.tenant_id)
        raise ValueError("not today")

    before = await waiting(connection, "personnel.dead")
    event = created(tenant_id, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    await transport.send("broker", [event])
    await consuming(refuse)
    await until_there_are(before + 1, lambda: waiting(connection, "personnel.dead"))
    assert tries == [tenant_id] * 3
    assert await departments(superuser, tenant_id) == 0
    channel = await connection.channel()
    dead = await (await channel.declare_queue("personnel.dead", passive=True)).get()
    assert dead.headers["traceparent"] == event["traceparent"]
    assert CloudEvent.model_validate_json(dead.body).id == UUID(event["id"])
    await dead.ack()


async def test_while_the_database_is_away_an_event_is_held_and_no_attempt_is_counted(
    transport, connection, consuming, superuser, tenant_id
):
    away = create_async_engine("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    channel = await connection.channel()
    held = asyncio.create_task(
        rabbitmq.Consumer(create_sessions(away), {TenantCreated: on_tenant_created}).run(
            await rabbitmq.queue_of(channel, "personnel", QUICK)
        )
    )
    before = await waiting(connection, "personnel.dead")
    await transport.send("broker", [created(tenant_id)])
    await asyncio.sleep(2.5)  # more tries than an event has attempts
    held.cancel()
    await asyncio.gather(held, return_exceptions=True)
    await channel.close()
    await consuming(on_tenant_created)
    await until_there_are(1, lambda: departments(superuser, tenant_id))
    assert await waiting(connection, "personnel.dead") == before


async def test_what_is_no_event_is_laid_aside_at_once(connection, consuming, rabbit):
    await consuming(on_tenant_created)
    channel = await connection.channel()
    from aio_pika import Message

    await channel.default_exchange.publish(Message(b"{}"), "personnel")
    await until_there_are(1, lambda: waiting(connection, "personnel.dead"))
    await (await (await channel.declare_queue("personnel.dead", passive=True)).get()).ack()


async def test_an_event_that_nobody_hears_is_refused_and_not_lost(transport, tenant_id):
    unheard, heard = created(tenant_id, type="unheard.of.v1"), created(tenant_id)
    refusals = await transport.send("broker", [unheard, heard])
    assert refusals[0] is not None
    assert refusals[1] is None


async def test_a_stop_finishes_what_has_begun_and_nothing_of_it_comes_again(
    transport, consuming, connection, superuser, tenant_id
):
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(session: Any, event: TenantCreated) -> None:
        if event.tenant_id == tenant_id:
            begun.set()
            await go_on.wait()
        await on_tenant_created(session, event)

    await transport.send("broker", [created(tenant_id)])
    task = await consuming(slow)
    async with asyncio.timeout(SECONDS):
        await begun.wait()
    task.cancel()
    await asyncio.sleep(0.1)
    assert not task.done()
    go_on.set()
    await asyncio.gather(task, return_exceptions=True)
    assert await departments(superuser, tenant_id) == 1
    assert await waiting(connection, "personnel") == 0


async def test_a_broker_that_goes_away_loses_and_doubles_nothing(rabbit, transport, consuming, superuser):
    tenants = [uuid4() for _ in range(60)]
    await consuming(on_tenant_created)

    async def is_sent(event: dict[str, Any]) -> bool:
        with suppress(Exception):  # whatever it is while the broker is away
            return await transport.send("broker", [event]) == [None]
        return False

    for number, tenant in enumerate(tenants):
        if number == 20:
            await asyncio.to_thread(rabbit[1], "rabbitmqctl", "-q", "stop_app")
            await asyncio.to_thread(rabbit[1], "rabbitmqctl", "-q", "start_app")
        await eventually_async(partial(is_sent, created(tenant)), 60, "an event could not be sent")

    async def all_there() -> bool:
        return await superuser.fetchval("select count(*) from departments where tenant_id = any($1)", tenants) == 60

    await eventually_async(all_there, SECONDS, "not every event has had its effect")
