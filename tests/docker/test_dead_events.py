"""Dead letters of a real broker are listed without a change, replayed to their own service, and never lost or doubled."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from aio_pika import connect
from aio_pika.abc import AbstractConnection, AbstractRobustConnection
from aio_pika.exceptions import AMQPError
from stack import mode
from stack.__main__ import main
from stack.settings import read
from yarl import URL

from libs.contracts.tenant import TenantCreated
from libs.service_kit.events import dead_queues
from libs.service_kit.events.dead_letters import DeadEvent, Wanted
from libs.service_kit.events.rabbitmq import RabbitTransport
from services.personnel.departments.consumers import on_tenant_created
from tests.docker.events import SECONDS, created, departments, until_there_are, waiting
from tests.fixtures.database import PASSWORD
from tests.fixtures.waiting import eventually_async

ROOT = Path(__file__).parents[2]
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"
# A replay that kills itself once a message has been published and its dead letter is still there.
KILLED = """
import asyncio, os, signal, sys
from aio_pika import IncomingMessage, connect
from libs.service_kit.events.dead_letters import Wanted
from libs.service_kit.events.dead_queues import replay_queue

async def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

async def replay():
    await replay_queue(await connect(sys.argv[1]), "personnel", Wanted(), print)

IncomingMessage.ack = die
asyncio.run(replay())
"""

Die = Callable[..., Awaitable[list[str]]]


async def refuse(session: Any, event: TenantCreated) -> None:
    raise ValueError("not today")


@pytest.fixture
async def operator(rabbit: tuple[str, Any]) -> AsyncIterator[AbstractConnection]:
    """A connection as the verbs make it."""
    async with await connect(rabbit[0]) as opened:
        yield opened


@pytest.fixture
async def die(
    transport: RabbitTransport,
    consuming: Callable[..., Awaitable[asyncio.Task[None]]],
    connection: AbstractRobustConnection,
) -> AsyncIterator[Die]:
    """Let personnel refuse events of these tenants until they are dead; returns their ids. The queues are purged after."""

    async def send(*tenants: UUID) -> list[str]:
        events = [created(tenant, traceparent=TRACEPARENT) for tenant in tenants]
        before = await waiting(connection, "personnel.dead")
        assert await transport.send("broker", events) == [None] * len(events)
        consumer = await consuming(refuse)
        await until_there_are(before + len(events), lambda: waiting(connection, "personnel.dead"))
        consumer.cancel()
        await asyncio.gather(consumer, return_exceptions=True)
        return [event["id"] for event in events]

    yield send
    channel = await connection.channel()
    for queue in ("personnel", "personnel.dead"):
        await (await channel.get_queue(queue)).purge()
    await channel.close()


async def dead(operator: AbstractConnection) -> list[DeadEvent]:
    events, count = await dead_queues.in_queue(operator, "personnel", 10_000)
    assert len(events) == count
    return events


async def replayed(operator: AbstractConnection, **wanted: str) -> list[str | None]:
    sent: list[DeadEvent] = []
    await dead_queues.replay_queue(operator, "personnel", Wanted(**wanted), sent.append)
    return [event.event_id for event in sent]


async def test_what_is_dead_is_listed_with_what_is_known_of_it(die, operator, tenant_id):
    [event_id] = await die(tenant_id)
    [event] = await dead(operator)
    assert (event.event_id, event.type, event.source) == (event_id, TenantCreated.type, "tenant-service")
    assert (event.place, event.destination) == ("queue personnel.dead", "personnel")
    assert (event.tenant_id, event.trace_id) == (str(tenant_id), TRACE)
    assert (event.attempts, event.reason) == (3, "delivery_limit")
    assert event.happened_at
    assert event.died_at


async def test_looking_changes_neither_what_is_there_nor_its_order(die, operator):
    """There are more dead letters than the broker keeps in order by itself, and more looks than default deliveries."""
    ids = await die(*(uuid4() for _ in range(dead_queues.LOT + 8)))
    first = [event.event_id for event in await dead(operator)]
    assert sorted(first) == sorted(ids)
    for _ in range(21):
        assert [event.event_id for event in await dead(operator)] == first
    events, count = await dead_queues.in_queue(operator, "personnel", 3)
    assert ([event.event_id for event in events], count) == (first[:3], len(ids))


@pytest.mark.parametrize("seconds", [0.002, 0.01, 0.03, 0.06])
async def test_a_look_that_is_cut_short_loses_nothing(die, operator, rabbit, seconds):
    await die(*(uuid4() for _ in range(dead_queues.LOT + 8)))
    first = [event.event_id for event in await dead(operator)]
    # On a connection of its own, as a verb has: if aiormq is interrupted while it closes a channel, the broker closes it.
    own = await connect(rabbit[0])
    cut = asyncio.create_task(replayed(own, event_id="of none of them"))
    await asyncio.sleep(seconds)
    cut.cancel()
    await asyncio.gather(cut, return_exceptions=True)
    with contextlib.suppress(AMQPError):
        await own.close()
    await until_there_are(len(first), lambda: count_dead(operator))
    found = [event.event_id for event in await dead(operator)]
    assert sorted(found) == sorted(first)


async def count_dead(operator: AbstractConnection) -> int:
    return (await dead_queues.in_queue(operator, "personnel", 1))[1]


async def test_no_number_of_looks_that_were_killed_loses_a_message(die, operator, tenant_id):
    [event_id] = await die(tenant_id)
    for _ in range(21):  # by default, a queue discards a message after twenty deliveries
        channel = await operator.channel()
        assert await (await channel.get_queue("personnel.dead")).get(fail=False)
        await channel.close()
        await until_there_are(1, lambda: count_dead(operator))
    assert [event.event_id for event in await dead(operator)] == [event_id]


async def test_one_is_replayed_by_its_id_to_its_own_service_only(
    die, operator, connection, consuming, superuser, tenant_id
):
    ids = await die(uuid4(), tenant_id, uuid4())
    before = [event.event_id for event in await dead(operator)]
    others = {queue: await waiting(connection, queue) for queue in ("auth", "budget", "system")}
    assert others["system"] >= 3
    assert await replayed(operator, event_id=ids[1]) == [ids[1]]
    left = [event.event_id for event in await dead(operator)]
    assert left == [event_id for event_id in before if event_id != ids[1]]
    assert {queue: await waiting(connection, queue) for queue in others} == others
    await consuming(on_tenant_created)
    await until_prepared(superuser, [tenant_id])
    assert await waiting(connection, "personnel") == 0


async def test_all_of_a_service_are_replayed_and_each_has_its_effect_once(die, operator, consuming, superuser):
    tenants = [uuid4() for _ in range(5)]
    ids = await die(*tenants)
    assert await replayed(operator, destination="budget") == []
    assert sorted(await replayed(operator, destination="personnel")) == sorted(ids)
    assert await dead(operator) == []
    await consuming(on_tenant_created)
    await until_prepared(superuser, tenants)
    assert await replayed(operator) == []


async def test_a_replayed_message_keeps_its_trace_and_nothing_of_its_death(die, operator, connection, tenant_id):
    [event_id] = await die(tenant_id)
    await replayed(operator, event_id=event_id)
    channel = await connection.channel()
    message = await (await channel.get_queue("personnel")).get()
    assert message.headers == {"traceparent": TRACEPARENT}
    assert (message.message_id, message.type) == (event_id, TenantCreated.type)
    assert (message.user_id, message.app_id) == ("tenant-service", "tenant-service")
    assert json.loads(message.body)["traceparent"] == TRACEPARENT
    await message.ack()
    await channel.close()


async def test_a_replayed_event_has_all_its_attempts_again(die, operator, connection, consuming, tenant_id):
    tries: list[UUID] = []

    async def count(session: Any, event: TenantCreated) -> None:
        tries.append(event.tenant_id)
        raise ValueError("not today either")

    await die(tenant_id)
    await replayed(operator)
    await consuming(count)
    await until_there_are(1, lambda: waiting(connection, "personnel.dead"))
    assert tries == [tenant_id] * 3
    assert [event.attempts for event in await dead(operator)] == [3]


async def test_a_replay_that_is_killed_before_it_removes_the_dead_one_doubles_no_effect(
    die, operator, connection, consuming, superuser, rabbit
):
    tenants = [uuid4(), uuid4()]
    ids = await die(*tenants)
    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", KILLED, rabbit[0]], cwd=ROOT, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    await until_there_are(2, lambda: count_dead(operator))
    assert await waiting(connection, "personnel") == 1  # one is in both queues
    assert sorted(await replayed(operator)) == sorted(ids)
    await consuming(on_tenant_created)
    await until_prepared(superuser, tenants)
    await until_there_are(0, lambda: waiting(connection, "personnel"))
    assert [await departments(superuser, tenant) for tenant in tenants] == [1, 1]
    assert await dead(operator) == []


async def until_prepared(superuser: Any, tenants: list[UUID]) -> None:
    """Wait until each of these tenants has its one department."""

    async def prepared() -> bool:
        return [await departments(superuser, tenant) for tenant in tenants] == [1] * len(tenants)

    await eventually_async(prepared, SECONDS, "a tenant has no department, or too many")


async def test_the_verbs_find_both_places_in_docker_mode(
    die, superuser, postgres_server, rabbit, tenant_id, tmp_path, monkeypatch, capsys
):
    values = {
        "POSTGRES_PORT": str(postgres_server.port),
        "POSTGRES_PASSWORD": PASSWORD,
        "RABBITMQ_PORT": str(URL(rabbit[0]).port),
        "STATE_DIR": str(tmp_path),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    mode.remember(read(), "docker")
    [refused] = await die(tenant_id)
    unheard = uuid4()
    await superuser.execute(
        "insert into outbox (event_id, destination, tenant_id, envelope, carrier, attempts, failed_at, error)"
        """ values ($1, 'broker', $2, '{"type": "unheard.of.v1", "source": "personnel-service"}', '{}', 8, now(), 'no')""",
        unheard,
        tenant_id,
    )
    assert await asyncio.to_thread(main, ["events-dead", "--json"]) == 0
    events = json.loads(capsys.readouterr().out)["events"]
    assert {(event["event_id"], event["place"], event["destination"]) for event in events} == {
        (str(unheard), "outbox of personnel", "broker"),
        (refused, "queue personnel.dead", "personnel"),
    }
    assert await asyncio.to_thread(main, ["events-dead"]) == 0
    assert "refused at every attempt" in capsys.readouterr().out

    assert await asyncio.to_thread(main, ["events-replay", "--service", "broker"]) == 0
    assert f"replayed {unheard}" in capsys.readouterr().out
    assert await superuser.fetchval("select failed_at is null from outbox where event_id = $1", unheard)
    assert await asyncio.to_thread(main, ["events-replay", "--all"]) == 0
    assert f"replayed {refused}" in capsys.readouterr().out
    assert await asyncio.to_thread(main, ["events-dead"]) == 0
    assert capsys.readouterr().out == "No event is dead.\n"

    await superuser.execute("delete from outbox where event_id = $1", unheard)

    monkeypatch.setenv("RABBITMQ_PASSWORD", "another")
    assert await asyncio.to_thread(main, ["events-dead"]) == 1
    assert "RabbitMQ on port" in capsys.readouterr().err
