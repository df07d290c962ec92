"""Each event takes effect once, whatever comes twice, at once, in bad company or to an untimely end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from pydantic import SecretStr
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts import CloudEvent
from libs.contracts.budget import AccountOpened
from libs.observability import messaging, start
from libs.service_kit import database
from libs.service_kit.client import Refused, ServiceClient
from libs.service_kit.database import create_engine, create_pool
from libs.service_kit.events import flow, http
from libs.service_kit.events.http import PATH, HttpTransport
from libs.service_kit.events.inbox import Handlers, consume
from libs.service_kit.events.outbox import publish
from libs.service_kit.events.relay import Relay, Undelivered
from libs.service_kit.service_account import ServiceAccount
from libs.service_kit.settings import DatabaseSettings, EventSettings
from libs.service_kit.transactions import Sessions, bind_tenant, bound_tenant, create_sessions, transaction
from tests.libs.service_kit.probe.main import Settings, create_app
from tests.libs.service_kit.probe.notes import Note
from tests.libs.service_kit.sockets import HANG, answer, running_peer

Deliver = Callable[..., Awaitable[list[str | None]]]
Count = Callable[[], Awaitable[int]]


def envelope(tenant_id: UUID, code: str = "a", **changed: Any) -> CloudEvent:
    data = {"account_id": str(uuid4()), "code": code, "name": "An account"}
    usual = {
        "id": uuid4(),
        "source": "budget-service",
        "type": AccountOpened.type,
        "subject": "account/1",
        "time": datetime.now(UTC),
        "tenantid": tenant_id,
        "data": data,
    }
    return CloudEvent.model_validate(usual | changed)


async def on_account_opened(session: AsyncSession, event: AccountOpened) -> None:
    """Make a note of an account, tell of it, and fail for one that is called `bad`."""
    session.add(Note(tenant_id=bound_tenant(session)[0], code=event.code, text=event.name, amount=0))
    publish(session, AccountOpened(account_id=uuid4(), code=f"{event.code}-noted", name="A note"))
    await session.flush()
    if event.code == "bad":
        raise RuntimeError("a handler failed")


HANDLERS: Handlers = {AccountOpened: on_account_opened}


@pytest.fixture
def deliver(writing: Sessions) -> Deliver:
    """Hand over envelopes as a transport does: `await deliver(first, second)`."""

    async def hand_over(*envelopes: CloudEvent, handlers: Handlers = HANDLERS) -> list[str | None]:
        return await consume(writing, handlers, envelopes, "test")

    return hand_over


@pytest.fixture
def count_notes(superuser: asyncpg.Connection, tenant_id: UUID) -> Count:
    """How many notes this test's tenant has."""
    return lambda: superuser.fetchval("select count(*) from notes where tenant_id = $1", tenant_id)


async def test_an_event_takes_effect_and_is_remembered(deliver, count_notes, superuser, tenant_id):
    event = envelope(tenant_id)
    assert await deliver(event) == [None]
    assert await count_notes() == 1
    assert await superuser.fetchval("select tenant_id from inbox where event_id = $1", event.id) == tenant_id


async def test_an_event_that_comes_again_has_no_further_effect(deliver, count_notes, tenant_id):
    event = envelope(tenant_id)
    assert await deliver(event, event) == [None, None]
    assert await deliver(event) == [None]
    assert await count_notes() == 1


async def test_an_event_that_comes_twice_at_once_has_one_effect(deliver, count_notes, tenant_id):
    event = envelope(tenant_id)
    assert await asyncio.gather(*(deliver(event) for _ in range(5))) == [[None]] * 5
    assert await count_notes() == 1


async def test_one_bad_event_leaves_nothing_and_spoils_no_other(deliver, superuser, tenant_id, destination):
    events = [envelope(tenant_id, code) for code in ("a", "bad", "c")]
    refusals = await deliver(*events)
    assert refusals == [None, "RuntimeError: a handler failed", None]
    kept = await superuser.fetch("select code from notes where tenant_id = $1 order by code", tenant_id)
    assert [code for (code,) in kept] == ["a", "c"]
    codes = "select envelope->'data'->>'code' from outbox where destination = $1 order by position"
    assert [code for (code,) in await superuser.fetch(codes, destination)] == ["a-noted", "c-noted"]
    assert not await superuser.fetchval("select true from inbox where event_id = $1", events[1].id)


async def test_a_refused_event_takes_effect_when_it_can(deliver, count_notes, tenant_id):
    async def fail(session: AsyncSession, event: AccountOpened) -> None:
        raise RuntimeError("not yet")

    event = envelope(tenant_id)
    assert await deliver(event, handlers={AccountOpened: fail}) == ["RuntimeError: not yet"]
    assert await deliver(event) == [None]
    assert await count_notes() == 1


async def test_an_event_that_is_refused_is_refused_twice_in_its_batch_and_can_come_again(
    deliver, count_notes, tenant_id
):
    tries: list[str] = []

    async def fail_once(session: AsyncSession, event: AccountOpened) -> None:
        tries.append(event.code)
        if len(tries) == 1:
            raise RuntimeError("not yet")
        await on_account_opened(session, event)

    event = envelope(tenant_id)
    handlers: Handlers = {AccountOpened: fail_once}
    assert await deliver(event, event, handlers=handlers) == ["RuntimeError: not yet"] * 2
    assert await deliver(event, handlers=handlers) == [None]
    assert await deliver(event, handlers=handlers) == [None]
    assert (len(tries), await count_notes()) == (2, 1)


async def test_a_handler_that_fails_as_another_tenant_leaves_the_next_event_its_own(deliver, superuser, tenant_id):
    other = uuid4()

    async def wander(session: AsyncSession, event: AccountOpened) -> None:
        if event.code == "wanders":
            await bind_tenant(session, other)
            raise RuntimeError("lost")
        await on_account_opened(session, event)

    events = [envelope(tenant_id, "wanders"), envelope(other, "b"), envelope(tenant_id, "c")]
    assert await deliver(*events, handlers={AccountOpened: wander}) == ["RuntimeError: lost", None, None]
    kept = await superuser.fetch("select tenant_id, code from notes where tenant_id = any($1)", [tenant_id, other])
    assert {(row["tenant_id"], row["code"]) for row in kept} == {(other, "b"), (tenant_id, "c")}
    assert not await superuser.fetchval("select true from inbox where event_id = $1", events[0].id)


async def test_a_lock_that_somebody_holds_is_no_events_fault(deliver, count_notes, superuser, tenant_id):
    """A refusal would use up attempts, and end in giving the event up."""

    async def wait(session: AsyncSession, event: AccountOpened) -> None:
        await on_account_opened(session, event)
        await session.execute(text("set local lock_timeout = '20ms'"))
        await session.execute(text("lock table notes in share row exclusive mode"))

    event = envelope(tenant_id)
    async with superuser.transaction():
        await superuser.execute("lock table notes in row share mode")
        await superuser.execute(
            "insert into notes (tenant_id, code, text, amount, version) values ($1, 'x', 'x', 0, 1)", uuid4()
        )
        with pytest.raises(DBAPIError, match="lock timeout"):
            await deliver(event, handlers={AccountOpened: wait})
    assert await count_notes() == 0
    assert await deliver(event, handlers={AccountOpened: wait}) == [None]
    assert await count_notes() == 1


async def test_each_event_of_a_batch_works_for_its_own_tenant(deliver, superuser):
    seen: list[tuple[UUID, int, object]] = []

    async def look(session: AsyncSession, event: AccountOpened) -> None:
        await on_account_opened(session, event)
        notes = await session.scalar(select(func.count()).select_from(Note))
        tenant_id, actor_id = bound_tenant(session)
        seen.append((tenant_id, notes or 0, actor_id))

    actor = uuid4()
    tenants = [uuid4() for _ in range(3)]
    events = [envelope(tenant_id, actorid=actor) for tenant_id in tenants]
    assert await deliver(*events, handlers={AccountOpened: look}) == [None] * 3
    assert seen == [(tenant_id, 1, actor) for tenant_id in tenants]


async def test_what_one_tenants_event_has_loaded_is_not_there_for_the_next(deliver, tenant_id):
    """A session answers `get` from what it has loaded, without asking the database and so past its policies."""
    notes: list[Note] = []
    found: list[Note | None] = []

    async def look(session: AsyncSession, event: AccountOpened) -> None:
        if not notes:
            notes.append(Note(tenant_id=tenant_id, code=event.code, text="mine", amount=0))
            session.add(notes[0])
            await session.flush()
        found.append(await session.get(Note, notes[0].id))

    events = [envelope(tenant_id), envelope(uuid4())]
    assert await deliver(*events, handlers={AccountOpened: look}) == [None, None]
    assert found == [notes[0], None]


async def test_a_failing_event_leaves_the_next_one_its_tenant(deliver, count_notes, tenant_id):
    assert (await deliver(envelope(uuid4(), "bad"), envelope(tenant_id)))[1] is None
    assert await count_notes() == 1


async def test_a_broken_rule_of_the_database_is_one_events_refusal(deliver, count_notes, tenant_id):
    refusals = await deliver(envelope(tenant_id, "unwanted"), envelope(tenant_id, "b"))
    assert refusals[0]
    assert "ck_notes_code" in refusals[0]
    assert refusals[1] is None
    assert await count_notes() == 1


async def test_data_that_does_not_fit_is_refused(deliver, count_notes, tenant_id):
    refusals = await deliver(envelope(tenant_id, data={"code": "a"}), envelope(tenant_id))
    assert refusals[0]
    assert refusals[0].startswith("ValidationError")
    assert refusals[1] is None
    assert await count_notes() == 1


async def test_the_envelope_of_every_event_is_given_to_who_asks_for_it(deliver, tenant_id):
    heard: list[CloudEvent] = []

    async def hear(session: AsyncSession, event: CloudEvent) -> None:
        heard.append(event)

    events = [envelope(tenant_id), envelope(tenant_id, type="weather.changed.v7", data={"sun": True})]
    assert await deliver(*events, handlers={CloudEvent: hear}) == [None, None]
    assert heard == events


async def test_a_consumer_killed_before_its_commit_neither_loses_nor_doubles_an_effect(
    deliver, count_notes, superuser, tenant_id
):
    async def die(session: AsyncSession, event: AccountOpened) -> None:
        await on_account_opened(session, event)
        backend = await session.scalar(text("select pg_backend_pid()"))
        await superuser.execute("select pg_terminate_backend($1)", backend)

    event = envelope(tenant_id)
    with pytest.raises(SQLAlchemyError):
        await deliver(event, handlers={AccountOpened: die})
    assert await count_notes() == 0
    assert await deliver(event) == [None]
    assert await deliver(event) == [None]
    assert await count_notes() == 1


@pytest.fixture(scope="module")
async def app(service_settings: Settings) -> FastAPI:
    """A probe that hears of accounts."""
    return create_app(service_settings, HANDLERS)


@pytest.fixture
def sender(anonymous: httpx.AsyncClient, make_token: Callable[..., str]) -> httpx.AsyncClient:
    """The account of the service whose events these are."""
    anonymous.headers["authorization"] = f"Bearer {make_token('events:deliver', client_id='budget-service')}"
    return anonymous


def documents(events: Sequence[CloudEvent]) -> list[dict[str, Any]]:
    return [event.model_dump(mode="json", exclude_none=True) for event in events]


async def test_the_door_takes_a_batch_and_answers_for_each(sender, count_notes, tenant_id):
    batch = documents([envelope(tenant_id), envelope(tenant_id, "bad")])
    headers = {"content-type": "application/cloudevents-batch+json"}
    received = await sender.post(PATH, json=batch, headers=headers)
    assert received.json() == {"refusals": [None, "RuntimeError: a handler failed"]}
    assert await count_notes() == 1


async def test_what_is_no_event_is_refused_by_itself(sender, count_notes, tenant_id):
    good, bad = documents([envelope(tenant_id), envelope(tenant_id)])
    del bad["tenantid"]
    received = await sender.post(PATH, json=[bad, good, {}])
    refusals = received.json()["refusals"]
    assert refusals[0] == "no CloudEvent: tenantid"
    assert refusals[1] is None
    assert refusals[2].startswith("no CloudEvent: id, source")
    assert await count_notes() == 1


@pytest.mark.parametrize("changed", [{"source": "tenant-service"}, {"source": "budget-service ", "type": "x.new.v1"}])
async def test_nobody_speaks_for_another_service(sender, count_notes, tenant_id, changed):
    received = await sender.post(PATH, json=documents([envelope(tenant_id, **changed), envelope(tenant_id)]))
    assert received.json() == {"refusals": ["the source is not the sender", None]}
    assert await count_notes() == 1


@pytest.mark.parametrize("client_id", [None, "auth-service"])
async def test_a_sender_has_to_be_the_source(anonymous, make_token, count_notes, tenant_id, client_id):
    headers = {"authorization": f"Bearer {make_token('events:deliver', client_id=client_id)}"}
    received = await anonymous.post(PATH, json=documents([envelope(tenant_id)]), headers=headers)
    assert received.json() == {"refusals": ["the source is not the sender"]}
    assert await count_notes() == 0


async def test_an_event_is_taken_only_from_a_service_that_publishes_its_type(
    deliver, count_notes, superuser, tenant_id
):
    foreign = envelope(tenant_id, source="personnel-service")
    for _ in range(2):
        assert await deliver(foreign) == ["ForeignEvent: personnel-service publishes no such account.opened.v1"]
    assert (await count_notes(), await superuser.fetch("select 1 from inbox where event_id = $1", foreign.id)) == (
        0,
        [],
    )


@pytest.mark.parametrize(
    ("source", "refusal"),
    [("personnel-service", None), ("x-service", "ForeignEvent: x-service publishes no such x.new.v1")],
)
async def test_a_type_that_this_service_does_not_know_is_taken_from_a_service_that_it_knows(
    deliver, tenant_id, source, refusal
):
    seen: list[str] = []

    async def keep(session: AsyncSession, event: CloudEvent) -> None:
        seen.append(event.source)

    new = envelope(tenant_id, source=source, type="x.new.v1")
    assert await deliver(new, handlers={CloudEvent: keep}) == [refusal]
    assert seen == ([source] if refusal is None else [])


async def test_an_id_that_one_tenant_has_used_is_free_for_another(deliver, superuser, tenant_id):
    mine, other = envelope(tenant_id), uuid4()
    theirs = mine.model_copy(update={"tenantid": other})
    assert await deliver(theirs) == [None]
    assert await deliver(mine, theirs) == [None, None]
    notes = await superuser.fetch("select tenant_id from notes where tenant_id = any($1)", [tenant_id, other])
    assert sorted(row["tenant_id"] for row in notes) == sorted([tenant_id, other])


async def test_one_id_of_two_tenants_in_one_batch_is_two_events(deliver, superuser, tenant_id):
    mine, other = envelope(tenant_id, "bad"), uuid4()
    theirs = mine.model_copy(update={"tenantid": other, "data": mine.data | {"code": "good"}})
    assert await deliver(mine, theirs) == ["RuntimeError: a handler failed", None]
    kept = await superuser.fetch("select tenant_id from inbox where event_id = $1", mine.id)
    assert [row["tenant_id"] for row in kept] == [other]


async def test_the_door_is_for_service_accounts(client, anonymous):
    for caller, status in ((anonymous, 401), (client, 403)):
        assert (await caller.post(PATH, json=[])).status_code == status


@pytest.fixture
async def transport(
    sender: httpx.AsyncClient, make_token: Callable[..., str], destination: str, run_probe: Callable[..., Any]
) -> AsyncIterator[HttpTransport]:
    """The way to a running probe, with the token of a service account."""
    async with AsyncExitStack() as stack:
        auth = await stack.enter_async_context(running_peer())
        auth.script = [
            answer(200, {"access_token": make_token("events:deliver", client_id="budget-service"), "expires_in": 900})
        ]
        url = await stack.enter_async_context(run_probe(HANDLERS))
        probe = await stack.enter_async_context(ServiceClient("probe", url))
        account = ServiceAccount(await stack.enter_async_context(ServiceClient("auth", auth.url)), "probe", "secret")
        yield HttpTransport({destination: probe}, account)


async def test_from_outbox_to_inbox_over_http(
    transport,
    writing,
    outbox,
    destination,
    superuser,
    tenant_id,
):
    for code in ("a", "bad", "c"):
        async with transaction(writing, tenant_id) as session:
            publish(session, AccountOpened(account_id=uuid4(), code=code, name="An account"))
    relay = Relay("probe", destination, writing, transport, EventSettings(), outbox.wakers[destination])
    assert await relay.relay_batch() == 3
    notes = await superuser.fetch("select code from notes where tenant_id = $1 order by code", tenant_id)
    assert [code for (code,) in notes] == ["a", "c"]
    rows = "select envelope->'data'->>'code' as code, published_at, error from outbox where destination = $1"
    state = {
        row["code"]: (row["published_at"] is not None, row["error"]) for row in await superuser.fetch(rows, destination)
    }
    assert state == {"a": (True, None), "bad": (False, "RuntimeError: a handler failed"), "c": (True, None)}

    await superuser.execute("update outbox set published_at = null where destination = $1", destination)
    await relay.relay_batch()
    assert await superuser.fetchval("select count(*) from notes where tenant_id = $1", tenant_id) == 2


async def test_a_batch_that_is_too_large_for_its_receiver_comes_in_halves():
    async with running_peer() as auth, running_peer() as peer:
        auth.script = [answer(200, {"access_token": "t-1", "expires_in": 900})]
        peer.script = [answer(413), answer(200, {"refusals": [None]}), answer(200, {"refusals": ["bad", None]})]
        async with ServiceClient("peer", peer.url) as there, ServiceClient("auth", auth.url) as tokens:
            transport = HttpTransport({"peer": there}, ServiceAccount(tokens, "probe", "secret"))
            assert await transport.send("peer", [{"id": each} for each in "abc"]) == [None, "bad", None]
            peer.script = [answer(413)]
            with pytest.raises(Refused):
                await transport.send("peer", [{"id": "d"}])
        batches = [[each["id"] for each in body] for _, _, _, body in peer.requests]
        assert batches == [["a", "b", "c"], ["a"], ["b", "c"], ["d"]]


async def test_batches_in_halves_end_before_the_database_ends_the_transaction_that_holds_them(
    writing, outbox, destination, tenant_id, database_url, monkeypatch
):
    assert flow.DEADLINE_SECONDS < http.SEND_SECONDS < float(database.IDLE_TIMEOUT.removesuffix("s"))
    monkeypatch.setattr(http, "SEND_SECONDS", 0.5)
    monkeypatch.setattr(database, "IDLE_TIMEOUT", "2s")
    for code in "ab":
        async with transaction(writing, tenant_id) as session:
            publish(session, AccountOpened(account_id=uuid4(), code=code, name="An account"))
    async with AsyncExitStack() as stack:
        auth, peer = [await stack.enter_async_context(running_peer()) for _ in range(2)]
        auth.script = [answer(200, {"access_token": "t-1", "expires_in": 900})]
        peer.script = [answer(413), HANG, answer(200, {"refusals": [None, None]})]
        there, tokens = [
            await stack.enter_async_context(ServiceClient("peer", each.url, deadline=20)) for each in (peer, auth)
        ]
        transport = HttpTransport({destination: there}, ServiceAccount(tokens, "probe", "secret"))
        engine = create_pool(DatabaseSettings(url=SecretStr(database_url("probe"))), 1)
        stack.push_async_callback(engine.dispose)
        holding = create_sessions(engine, outbox)
        relay = Relay("probe", destination, holding, transport, EventSettings(), outbox.wakers[destination])
        with pytest.raises(Undelivered):
            await relay.relay_batch()
        assert await relay.relay_batch() == 2


async def test_a_database_that_is_away_is_no_events_fault(outbox, tenant_id, free_tcp_port):
    """A refusal would use up attempts, and end in giving the event up."""
    away = DatabaseSettings(url=SecretStr(f"postgresql://probe_app@127.0.0.1:{free_tcp_port}/probe"))
    engine = create_engine(away)
    with pytest.raises(OSError):
        await consume(create_sessions(engine, outbox), HANDLERS, [envelope(tenant_id)], "test")
    await engine.dispose()


def happened(tenant_id: UUID) -> CloudEvent:
    return CloudEvent(
        id=uuid4(), source="budget-service", type="x.happened.v1", subject="x/1", time=datetime.now(UTC),
        tenantid=tenant_id, data={},
    )  # fmt: skip


async def test_an_effect_that_stands_is_not_repeated_when_its_telemetry_fails(sessions, tenant_id, monkeypatch):
    seen: list[UUID] = []

    async def handle(session: AsyncSession, event: CloudEvent) -> None:
        seen.append(event.id)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no line can be written")

    envelope = happened(tenant_id)
    with monkeypatch.context() as broken:
        broken.setattr(messaging, "write", fail)
        assert await consume(sessions, {CloudEvent: handle}, [envelope], "http") == [None]
    assert await consume(sessions, {CloudEvent: handle}, [envelope], "http") == [None]
    assert seen == [envelope.id]


async def test_an_event_whose_statements_are_cancelled_is_refused_and_holds_nobody_up(sessions, tenant_id):
    async def handle(session: AsyncSession, event: CloudEvent) -> None:
        await session.execute(text("do $$ begin raise exception using errcode = '57014'; end $$"))

    envelope = happened(tenant_id)
    [refusal] = await consume(sessions, {CloudEvent: handle}, [envelope], "http")
    assert refusal is not None
    assert "57014" in refusal


async def test_an_event_counts_as_consumed_only_when_its_batch_is_committed(sessions, superuser, tenant_id, capfd):
    def consumed() -> float:
        return REGISTRY.get_sample_value("events_consumed_total", {"event_type": AccountOpened.type}) or 0.0

    event, before = envelope(tenant_id), consumed()
    await superuser.execute(
        "create or replace function doom() returns trigger language plpgsql"
        " as $$ begin raise exception 'doomed' using errcode = '53400'; end $$"
    )
    await superuser.execute(
        "create constraint trigger doom after insert on inbox deferrable initially deferred"
        f" for each row when (new.tenant_id = '{tenant_id}') execute function doom()"
    )
    try:
        with pytest.raises(DBAPIError, match="doomed"):
            await consume(sessions, {}, [event], "http")
    finally:
        await superuser.execute("drop trigger doom on inbox")
    assert consumed() == before
    start().lines.flush()
    assert str(event.id) not in capfd.readouterr().err
    assert await consume(sessions, {}, [event], "http") == [None]
    assert consumed() == before + 1
    start().lines.flush()
    assert "event consumed" in capfd.readouterr().err
