"""Each service is its own user at the broker: it sends in no other name, what claims one has no effect, logins can change."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from aio_pika import Message
from aio_pika.exceptions import ChannelClosed, ChannelPreconditionFailed, ProbableAuthenticationError
from pydantic import SecretStr
from stack.settings import DEFAULTS

from libs.contracts.tenant import TenantCreated
from libs.service_kit.events import dead_queues, rabbitmq
from libs.service_kit.events.consumer import EXCHANGE
from libs.service_kit.events.dead_letters import Wanted
from libs.service_kit.settings import EventSettings
from libs.services import SERVICES
from services.personnel.departments.consumers import on_tenant_created
from tests.docker.events import QUICK, as_service, created, departments, until_there_are, waiting
from tests.fixtures.local_stack import ODD

PASSWORDS = [f"{service.name.upper()}_BROKER_PASSWORD" for service in SERVICES]


@pytest.mark.parametrize("service", [service.name for service in SERVICES])
async def test_a_service_may_declare_what_every_service_declares_and_read_its_own_queue(rabbit, service):
    async with await rabbitmq.connect(as_service(rabbit[0], service)) as own:
        await rabbitmq.declare(await own.channel(), QUICK)
        queue = await rabbitmq.queue_of(await own.channel(), service, QUICK)
        assert await queue.get(fail=False) is None


async def test_a_service_can_send_no_event_in_the_name_of_another(rabbit, transport, connection, tenant_id):
    async with await rabbitmq.connect(as_service(rabbit[0], "budget")) as own:
        forging = rabbitmq.RabbitTransport(await (await own.channel(on_return_raises=True)).get_exchange(EXCHANGE))
        before = await waiting(connection, "personnel")
        with pytest.raises(ChannelPreconditionFailed, match="user_id property set to 'tenant-service'"):
            await forging.send("broker", [created(tenant_id)])
        assert await waiting(connection, "personnel") == before


@pytest.mark.parametrize("exchange", ["", "amq.topic"])
async def test_a_service_reaches_no_queue_by_another_exchange(rabbit, transport, exchange):
    async with await rabbitmq.connect(as_service(rabbit[0], "tenant")) as own:
        channel = await own.channel()
        to = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
        with pytest.raises(ChannelClosed, match="ACCESS_REFUSED - write access to exchange"):
            await to.publish(Message(b"{}"), "personnel")


@pytest.mark.parametrize("user_id", [None, "budget-service"])
async def test_an_event_in_the_name_of_another_service_is_laid_aside_whoever_replays_it(
    rabbit, transport, consuming, connection, superuser, tenant_id, lines, user_id
):
    before = await waiting(connection, "personnel.dead")
    async with await rabbitmq.connect(as_service(rabbit[0], "budget")) as own:
        exchange = await (await own.channel()).get_exchange(EXCHANGE)
        forged = created(tenant_id)
        await exchange.publish(Message(orjson.dumps(forged), user_id=user_id), TenantCreated.type)
    await consuming(on_tenant_created)
    await until_there_are(before + 1, lambda: waiting(connection, "personnel.dead"))
    events, _ = await dead_queues.in_queue(connection, "personnel", 100)
    [found] = [event for event in events if event.event_id == forged["id"]]
    assert (found.source, found.reason) == ("tenant-service", "rejected: not sent by its source")
    replayed: list[Any] = []
    await dead_queues.replay_queue(connection, "personnel", Wanted(event_id=forged["id"]), replayed.append)
    assert len(replayed) == 1
    await until_there_are(before + 1, lambda: waiting(connection, "personnel.dead"))
    told = [line for line in lines() if line["message"] == "event in the name of another service refused"]
    assert [(line["event_id"], line.get("client_id")) for line in told] == [(forged["id"], user_id)] * 2
    assert await departments(superuser, tenant_id) == 0


async def test_every_user_has_the_password_of_the_last_start_of_any_characters(docker, start_broker):
    name, start = start_broker
    first = {each: f"{ODD} of {each}" for each in ("RABBITMQ_USER", "RABBITMQ_PASSWORD", *PASSWORDS)}
    later = {each: f"-{value}\t\n" for each, value in first.items()} | {"RABBITMQ_USER": first["RABBITMQ_USER"]}
    before: dict[str, str] = {}
    for given in (first, later, {}):
        await asyncio.to_thread(start, **given)
        address = docker("port", name, "5672")
        logins = logins_of(DEFAULTS | given)
        for user, password in logins.items():
            await connect(address, user, password)
            if user in before:
                with pytest.raises(ProbableAuthenticationError):
                    await connect(address, user, before[user])
        before = logins


def logins_of(values: Mapping[str, str]) -> dict[str, str]:
    """The password of every user."""
    passwords = {service.full_name: values[name] for service, name in zip(SERVICES, PASSWORDS, strict=True)}
    return {values["RABBITMQ_USER"]: values["RABBITMQ_PASSWORD"]} | passwords


async def connect(address: str, user: str, password: str) -> None:
    url = EventSettings(
        broker_url=SecretStr(f"amqp://{address}/"), broker_user=SecretStr(user), broker_password=SecretStr(password)
    ).broker_url
    assert url
    await (await rabbitmq.connect(url.get_secret_value())).close()
