"""An event that was given up can be found in the outbox, and sent again with its effect once."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.budget import AccountOpened
from libs.service_kit.client import ServiceClient
from libs.service_kit.events.dead_letters import DeadEvent, Wanted, in_outbox, replay_outbox
from libs.service_kit.events.http import HttpTransport
from libs.service_kit.events.outbox import Outbox, publish
from libs.service_kit.events.relay import Relay
from libs.service_kit.service_account import ServiceAccount
from libs.service_kit.settings import EventSettings
from libs.service_kit.transactions import Sessions, bound_tenant, transaction
from tests.libs.service_kit.probe.notes import Note
from tests.libs.service_kit.sockets import answer, running_peer

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Consumer:
    """A handler that makes a note of each account, and refuses it as long as it is broken."""

    broken = True

    async def __call__(self, session: AsyncSession, event: AccountOpened) -> None:
        session.add(Note(tenant_id=bound_tenant(session)[0], code=event.code, text=event.name, amount=0))
        await session.flush()
        if self.broken:
            raise RuntimeError("a handler failed")


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
async def relay(
    consumer: Consumer,
    writing: Sessions,
    outbox: Outbox,
    destination: str,
    make_token: Callable[..., str],
    run_probe: Callable[..., Any],
) -> AsyncIterator[Relay]:
    """A relay by HTTP to a running probe that has this consumer; the second refusal is the last."""
    async with AsyncExitStack() as stack:
        auth = await stack.enter_async_context(running_peer())
        auth.script = [
            answer(200, {"access_token": make_token("events:deliver", client_id="budget-service"), "expires_in": 900})
        ]
        url = await stack.enter_async_context(run_probe({AccountOpened: consumer}))
        probe = await stack.enter_async_context(ServiceClient("probe", url))
        account = ServiceAccount(await stack.enter_async_context(ServiceClient("auth", auth.url)), "probe", "secret")
        settings = EventSettings(max_attempts=2).model_copy(update={"retry_seconds": 1e-6})
        transport = HttpTransport({destination: probe}, account)
        yield Relay("probe", destination, writing, transport, settings, outbox.wakers[destination])


async def happen(writing: Sessions, superuser: asyncpg.Connection, tenant_id: UUID, code: str) -> str:
    """Commit an event of a known trace; its id."""
    async with transaction(writing, tenant_id) as session:
        publish(session, AccountOpened(account_id=uuid4(), code=code, name="An account"))
    return await superuser.fetchval(
        "update outbox set carrier = jsonb_build_object('traceparent', $3::text)"
        " where tenant_id = $1 and envelope->'data'->>'code' = $2 returning event_id::text",
        tenant_id,
        code,
        f"00-{TRACE}-b7ad6b7169203331-01",
    )


async def dead(writing: Sessions, destination: str) -> list[DeadEvent]:
    events, count = await in_outbox(writing, "probe", 10_000)
    assert len(events) == count
    return [event for event in events if event.destination == destination]


async def notes(superuser: asyncpg.Connection, tenant_id: UUID) -> list[str]:
    rows = await superuser.fetch("select code from notes where tenant_id = $1 order by code", tenant_id)
    return [code for (code,) in rows]


async def test_an_event_that_its_consumer_refused_is_listed_and_replayed_with_one_effect(
    relay,
    consumer,
    writing,
    superuser,
    tenant_id,
    destination,
):
    first = await happen(writing, superuser, tenant_id, "a")
    second = await happen(writing, superuser, tenant_id, "b")
    assert [await relay.relay_batch() for _ in range(3)] == [2, 2, 0]

    events = await dead(writing, destination)
    assert [event.event_id for event in events] == [first, second]
    found = events[0]
    assert (found.type, found.source, found.place) == ("account.opened.v1", "budget-service", "outbox of probe")
    assert (found.attempts, found.reason) == (2, "RuntimeError: a handler failed")
    assert (found.tenant_id, found.trace_id) == (str(tenant_id), TRACE)
    assert found.happened_at
    assert found.died_at
    assert found.happened_at <= found.died_at

    assert [event.event_id for event in await replay_outbox(writing, "probe", Wanted(event_id=first))] == [first]
    assert [event.event_id for event in await dead(writing, destination)] == [second]
    assert [await relay.relay_batch() for _ in range(3)] == [1, 1, 0]  # with all its attempts
    assert {event.event_id for event in await dead(writing, destination)} == {first, second}
    assert await notes(superuser, tenant_id) == []

    consumer.broken = False
    assert len(await replay_outbox(writing, "probe", Wanted(destination=destination))) == 2
    assert [await relay.relay_batch() for _ in range(2)] == [2, 0]
    assert await notes(superuser, tenant_id) == ["a", "b"]
    assert await dead(writing, destination) == []


async def test_replaying_leaves_alone_what_is_not_dead_and_what_was_not_asked_for(
    relay, writing, superuser, tenant_id, destination
):
    await happen(writing, superuser, tenant_id, "a")
    assert [await relay.relay_batch() for _ in range(3)] == [1, 1, 0]
    waiting = await happen(writing, superuser, tenant_id, "waits")
    for wanted in (Wanted(event_id=waiting), Wanted(event_id="no uuid"), Wanted(destination="elsewhere")):
        assert await replay_outbox(writing, "probe", wanted) == []
    assert len(await dead(writing, destination)) == 1


async def test_an_event_that_had_its_effect_after_all_has_no_second_one(
    relay,
    consumer,
    writing,
    superuser,
    tenant_id,
    destination,
):
    await happen(writing, superuser, tenant_id, "a")
    consumer.broken = False
    assert await relay.relay_batch() == 1
    lost = "update outbox set published_at = null, failed_at = now() where destination = $1"
    await superuser.execute(lost, destination)  # as if the answer had been a refusal
    assert len(await replay_outbox(writing, "probe", Wanted(destination=destination))) == 1
    assert await relay.relay_batch() == 1
    assert await notes(superuser, tenant_id) == ["a"]


async def test_more_than_the_limit_are_counted(relay, writing, superuser, tenant_id):
    for code in ("a", "b", "c"):
        await happen(writing, superuser, tenant_id, code)
    before = (await in_outbox(writing, "probe", 1))[1]
    assert [await relay.relay_batch() for _ in range(3)] == [3, 3, 0]
    events, count = await in_outbox(writing, "probe", 1)
    assert (len(events), count) == (1, before + 3)
