"""What becomes of an event: one entry, once, for ever."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from libs.contracts import EVENTS
from libs.contracts.provisioning import TenantPrepared
from libs.contracts.subscriptions import SUBSCRIPTIONS
from libs.contracts.tenant import TenantClosed, TenantCreated
from libs.service_kit.events.inbox import consume
from services.system.audit import consumers
from services.system.main import HANDLERS

TRAIL = "/api/v1/audit-entries"


@pytest.fixture
def trail(client: httpx.AsyncClient) -> Callable[[], Awaitable[list[dict[str, Any]]]]:
    """The entries of this test's tenant, as the API shows them."""

    async def read() -> list[dict[str, Any]]:
        return (await client.get(TRAIL)).json()["items"]

    return read


def counted(event_type: str) -> float:
    return REGISTRY.get_sample_value("audit_entries_total", {"event_type": event_type}) or 0.0


async def test_an_event_is_kept_as_it_was_told(make_event, record, trail):
    actor, entity, trace = uuid4(), uuid4(), "4bf92f3577b34da6a3ce929d0e0e4736"
    event = make_event(
        subject=f"invoice/{entity}",
        actorid=actor,
        traceparent=f"00-{trace}-00f067aa0ba902b7-01",
        requestid="r-1",
        data={"amount": "12.50", "lines": [{"text": "Tee – grün ☕"}], "none": None},
    )
    await record(event)
    (entry,) = await trail()
    assert entry.pop("recorded_at").endswith("Z")
    assert entry == {
        "id": str(event.id),
        "type": "invoice.paid.v1",
        "source": "budget-service",
        "entity_type": "invoice",
        "entity_id": str(entity),
        "actor_id": str(actor),
        "occurred_at": event.time.isoformat().replace("+00:00", "Z"),
        "trace_id": trace,
        "request_id": "r-1",
        "data": {"amount": "12.50", "lines": [{"text": "Tee – grün ☕"}], "none": None},
    }


async def test_an_event_without_actor_or_trace_is_kept_too(make_event, record, trail):
    await record(make_event(traceparent="not-a-traceparent"), make_event())
    for entry in await trail():
        assert (entry["actor_id"], entry["trace_id"], entry["request_id"]) == (None, None, None)


async def test_an_event_is_recorded_and_counted_once(make_event, record, trail, superuser):
    event = make_event("tenant.renamed.v1", data={"tenant_id": str(uuid4()), "name": "A"})
    before = counted("tenant.renamed.v1")
    await record(event)
    await record(event)
    # The inbox forgets after a month; the trail does not.
    await superuser.execute("delete from inbox where event_id = $1", event.id)
    await record(event)
    assert [entry["id"] for entry in await trail()] == [str(event.id)]
    assert counted("tenant.renamed.v1") == before + 1


async def test_the_same_event_in_two_batches_at_once_is_one_entry(make_event, record, trail):
    events = [make_event() for _ in range(10)]
    await asyncio.gather(*(record(*events) for _ in range(4)))
    assert sorted(entry["id"] for entry in await trail()) == sorted(str(event.id) for event in events)


async def test_two_tenants_may_have_an_event_of_the_same_id(make_event, tenant_session, trail):
    mine, theirs = make_event(), uuid4()
    for tenant_id in (mine.tenantid, theirs):
        async with tenant_session(tenant_id) as session:
            await consumers.on_event(session, mine.model_copy(update={"tenantid": tenant_id}))
    assert len(await trail()) == 1


async def test_types_that_the_contracts_do_not_know_share_one_label(make_event, record):
    before = counted("unknown")
    await record(make_event("invoice.paid.v1"), make_event("invoice.paid.v2"))
    assert counted("unknown") == before + 2
    assert counted("invoice.paid.v1") == 0


async def test_every_event_of_the_contracts_is_heard():
    assert set(SUBSCRIPTIONS["system"]) == set(EVENTS)


async def test_what_cannot_be_stored_is_refused_and_the_rest_of_the_batch_is_kept(make_event, sessions, trail):
    good, bad = make_event(), make_event(data={"text": "A\x00B"})
    refusals = await consume(sessions, HANDLERS, [bad, good], "http")
    assert refusals[1] is None
    assert "DBAPIError" in refusals[0] or "unsupported Unicode" in refusals[0]
    assert [entry["id"] for entry in await trail()] == [str(good.id)]


async def test_a_new_tenant_is_prepared_at_once_and_its_creation_is_its_first_entry(
    tenant_id, make_event, record, trail, published
):
    data = TenantCreated(tenant_id=tenant_id, code="nordlicht", name="Nordlicht GmbH").model_dump(mode="json")
    created = make_event(TenantCreated.type, subject=f"tenant/{tenant_id}", data=data)
    await record(created)
    await record(created)
    assert [entry["id"] for entry in await trail()] == [str(created.id)]
    assert await published(TenantPrepared) == [TenantPrepared(tenant_id=tenant_id, service="system")]


async def test_the_trail_outlives_its_tenant(tenant_id, make_event, record, trail):
    earlier = make_event()
    data = TenantClosed(tenant_id=tenant_id, reason="no answer in time").model_dump(mode="json")
    await record(earlier, make_event(TenantClosed.type, subject=f"tenant/{tenant_id}", data=data))
    assert [entry["type"] for entry in await trail()] == [TenantClosed.type, earlier.type]


@pytest.mark.parametrize(
    "statement", ["update audit_entries set type = 'x'", "delete from audit_entries", "truncate audit_entries"]
)
async def test_an_entry_can_be_neither_changed_nor_removed(make_event, record, trail, tenant_session, statement):
    await record(make_event())
    before = await trail()
    with pytest.raises(DBAPIError, match="permission denied"):
        async with tenant_session() as session:
            await session.execute(text(statement))
    assert await trail() == before


async def test_without_a_tenant_there_is_nothing_and_for_another_none_can_be_added(
    make_event, record, sessions, tenant_session
):
    event = make_event()
    await record(event)
    count = text("select count(*) from audit_entries")
    async with sessions() as session:
        assert await session.scalar(count) == 0
    async with tenant_session(uuid4()) as session:
        assert await session.scalar(count) == 0
    with pytest.raises(DBAPIError, match="row-level security"):
        async with tenant_session(uuid4()) as session:
            await consumers.on_event(session, event.model_copy(update={"id": uuid4()}))


@pytest.mark.parametrize("subject", ["invoice", "invoice/a/b"])
async def test_a_subject_of_another_form_is_kept_as_far_as_it_goes(make_event, record, trail, subject):
    await record(make_event(subject=subject))
    (entry,) = await trail()
    assert (entry["entity_type"], entry["entity_id"]) == ("invoice", subject.partition("/")[2])
    assert UUID(entry["id"])
