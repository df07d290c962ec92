"""An event is part of the transaction that it tells of: committed with it, or never heard of."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy.exc import DBAPIError

from libs.contracts import CloudEvent
from libs.contracts.budget import AccountOpened
from libs.observability.context import working
from libs.service_kit.events.outbox import Outbox, publish
from libs.service_kit.tables import InboxRow
from libs.service_kit.transactions import transaction

Stored = Callable[[], Any]


def event(code: str = "a") -> AccountOpened:
    return AccountOpened(account_id=uuid4(), code=code, name="An account")


@pytest.fixture
def stored(superuser: asyncpg.Connection, destination: str) -> Stored:
    """The rows for this test's destination, oldest first."""
    return lambda: superuser.fetch("select * from outbox where destination = $1 order by position", destination)


@pytest.fixture
def waker(outbox: Outbox, destination: str) -> asyncio.Event:
    """What wakes the relay."""
    return outbox.wakers[destination]


async def test_an_event_is_committed_with_its_tenant_and_actor(writing, stored, tenant_id, user_id):
    async with transaction(writing, tenant_id, user_id) as session:
        publish(session, happened := event())
        assert await stored() == []
    (row,) = await stored()
    envelope = CloudEvent.model_validate_json(row["envelope"])
    assert (row["tenant_id"], row["event_id"]) == (tenant_id, envelope.id)
    assert (envelope.tenantid, envelope.actorid, envelope.source) == (tenant_id, user_id, "budget-service")
    assert (envelope.type, envelope.subject) == ("account.opened.v1", f"account/{happened.account_id}")
    assert AccountOpened.model_validate(envelope.data) == happened


async def test_the_trace_and_the_request_are_stored_with_it(writing, superuser, destination, tenant_id):
    with TracerProvider().get_tracer("test").start_as_current_span("request") as span, working(span, request_id="r-1"):
        async with transaction(writing, tenant_id) as session:
            publish(session, event())
    carrier = "select carrier->>'traceparent', carrier->>'request_id' from outbox where destination = $1"
    traceparent, request_id = await superuser.fetchrow(carrier, destination)
    assert trace.format_trace_id(span.get_span_context().trace_id) in traceparent
    assert request_id == "r-1"


async def test_each_destination_has_a_row_of_the_same_event(writing, outbox, destination, superuser, tenant_id):
    outbox.destinations = lambda _: [destination, f"{destination}-too"]
    async with transaction(writing, tenant_id) as session:
        publish(session, event())
    rows = await superuser.fetch("select event_id from outbox where tenant_id = $1", tenant_id)
    assert len(rows) == 2
    assert rows[0] == rows[1]


async def test_an_event_that_nobody_hears_leaves_nothing(writing, outbox, waker, superuser, tenant_id):
    outbox.destinations = lambda _: []
    async with transaction(writing, tenant_id) as session:
        publish(session, event())
    assert await superuser.fetchval("select count(*) from outbox where tenant_id = $1", tenant_id) == 0
    assert not waker.is_set()


async def test_a_rollback_publishes_nothing_and_wakes_nobody(writing, stored, waker, tenant_id):
    with pytest.raises(RuntimeError):
        async with transaction(writing, tenant_id) as session:
            publish(session, event())
            await session.flush()
            raise RuntimeError
    assert await stored() == []
    assert not waker.is_set()


async def test_the_relay_is_woken_by_the_commit(writing, waker, tenant_id):
    async with transaction(writing, tenant_id) as session:
        publish(session, event())
        await session.flush()
        assert not waker.is_set()
    assert waker.is_set()


async def test_a_savepoint_that_is_released_wakes_nobody_before_the_commit(writing, stored, waker, tenant_id):
    async with transaction(writing, tenant_id) as session:
        async with session.begin_nested():
            publish(session, event())
        assert not waker.is_set()
    assert len(await stored()) == 1
    assert waker.is_set()


async def test_what_a_savepoint_published_goes_with_it_and_the_rest_stays(writing, stored, waker, tenant_id):
    async with transaction(writing, tenant_id) as session:
        publish(session, event("kept"))
        with pytest.raises(RuntimeError):
            async with session.begin_nested():
                publish(session, event("gone"))
                raise RuntimeError
    (row,) = await stored()
    assert CloudEvent.model_validate_json(row["envelope"]).data["code"] == "kept"
    assert waker.is_set()


async def test_a_commit_without_events_wakes_nobody(writing, waker, tenant_id):
    async with writing(tenant_id=tenant_id) as session:
        publish(session, event())
        await session.commit()
        waker.clear()
        await session.connection()
        await session.commit()
    assert not waker.is_set()


async def test_nothing_is_published_once_a_statement_has_failed(writing, tenant_id, destination, superuser):
    async with transaction(writing, tenant_id) as session:
        with pytest.raises(RuntimeError, match="nothing can be published"):
            async with session.begin_nested():
                session.add(InboxRow(event_id=uuid4(), tenant_id=uuid4()))  # another tenant's: refused
                with pytest.raises(DBAPIError):
                    await session.flush()
                publish(session, event())
    assert await superuser.fetchval("select count(*) from outbox where destination = $1", destination) == 0
