"""Auth's part in a tenant's life: prepared, active, closed, whatever the order in which it hears of it."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from libs.contracts.auth import RoleCreated
from libs.contracts.provisioning import TenantPreparationFailed, TenantPrepared
from libs.contracts.tenant import TenantActivated, TenantClosed, TenantCreated
from services.auth.tenants.consumers import on_tenant_activated, on_tenant_closed, on_tenant_created

Sessions = Callable[..., Any]
HANDLERS = {TenantCreated: on_tenant_created, TenantActivated: on_tenant_activated, TenantClosed: on_tenant_closed}


@pytest.fixture
def hear(tenant_session: Sessions, tenant_id: UUID, code: str) -> Callable[..., Any]:
    """Let auth hear an event of this test's tenant."""

    async def handle(event: type[Any], **given: Any) -> None:
        facts = {"tenant_id": tenant_id, "code": code, "name": "A tenant", "reason": "over", **given}
        async with tenant_session(facts["tenant_id"]) as session:
            await HANDLERS[event](session, event(**facts))

    return handle


@pytest.fixture
def row(superuser: asyncpg.Connection, tenant_id: UUID) -> Callable[..., Any]:
    """What the directory says of this test's tenant: code and status."""

    async def read() -> tuple[str | None, str] | None:
        found = await superuser.fetchrow("select code, status from tenants where id = $1", tenant_id)
        return tuple(found) if found else None

    return read


async def count(superuser: asyncpg.Connection, tenant_id: UUID) -> list[int]:
    tables = ("roles", "users", "user_roles", "sessions", "refresh_tokens")
    query = "select " + ", ".join(f"(select count(*) from {table} where tenant_id = $1)" for table in tables)
    return list(await superuser.fetchrow(query, tenant_id))


async def test_a_new_tenant_is_prepared(hear, row, published, tenant_id, code):
    await hear(TenantCreated)
    assert await row() == (code, "preparing")
    assert await published(TenantPrepared) == [TenantPrepared(tenant_id=tenant_id, service="auth")]
    assert {event.name for event in await published(RoleCreated)} == {"administrator", "manager", "member"}
    await hear(TenantActivated)
    assert await row() == (code, "active")


async def test_hearing_it_twice_changes_nothing(hear, superuser, row, tenant_id, code):
    for event in (TenantCreated, TenantCreated, TenantActivated, TenantActivated, TenantCreated):
        await hear(event)
    assert await row() == (code, "active")
    assert (await count(superuser, tenant_id))[0] == 3


async def test_a_code_that_is_taken_fails_the_preparation(hear, row, published, code):
    other = uuid4()
    await hear(TenantCreated, tenant_id=other)
    await hear(TenantCreated)
    assert await row() is None
    failures = await published(TenantPreparationFailed)
    assert [(event.service, event.reason) for event in failures] == [("auth", "the code is taken")]
    assert await published(TenantPrepared) == []
    await hear(TenantClosed)
    assert await row() == (None, "closed")


async def test_closing_undoes_a_preparation_and_frees_the_code(hear, row, superuser, make_user, tenant_id):
    await make_user()  # a person was created before it was known that provisioning fails
    await superuser.execute("update tenants set status = 'preparing' where id = $1", tenant_id)
    await hear(TenantClosed)
    assert await row() == (None, "closed")
    assert await count(superuser, tenant_id) == [0, 0, 0, 0, 0]
    successor = uuid4()
    await hear(TenantCreated, tenant_id=successor)
    assert await superuser.fetchval("select status from tenants where id = $1", successor) == "preparing"


async def test_closing_an_active_tenant_ends_its_sessions_and_keeps_its_people(
    hear,
    row,
    superuser,
    make_user,
    log_in,
    tenant_id,
    code,
):
    await make_user()
    await log_in()
    assert await count(superuser, tenant_id) == [4, 2, 2, 1, 1]  # with the actor, who has a role
    await hear(TenantClosed)
    assert await row() == (code, "closed")
    assert await count(superuser, tenant_id) == [4, 2, 2, 0, 0]


@pytest.mark.parametrize("late", [TenantCreated, TenantActivated])
async def test_what_is_closed_stays_closed(
    hear,
    row,
    superuser,
    published,
    tenant_id,
    late,
):
    await hear(TenantClosed)
    await hear(late)
    assert await row() == (None, "closed")
    assert await count(superuser, tenant_id) == [0, 0, 0, 0, 0]
    assert await published(TenantPrepared) == []


async def test_an_unknown_tenant_is_not_activated(hear, row):
    await hear(TenantActivated)
    assert await row() is None


async def test_events_are_taken_at_the_door_of_the_service(anonymous, make_token, row, tenant_id, code):
    event = TenantCreated(tenant_id=tenant_id, code=code, name="A tenant")
    envelope = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "tenant-service",
        "type": event.type,
        "subject": event.subject,
        "time": "2026-01-01T00:00:00Z",
        "tenantid": str(tenant_id),
        "data": event.model_dump(mode="json"),
    }
    token = make_token("events:deliver", client_id="tenant-service")
    headers = {"authorization": f"Bearer {token}", "content-type": "application/cloudevents-batch+json"}
    response = await anonymous.post("/internal/events", json=[envelope, envelope], headers=headers)
    assert (response.status_code, response.json()) == (200, {"refusals": [None, None]})
    assert await row() == (code, "preparing")


async def test_the_directory_is_written_for_the_bound_tenant_only(tenant_session, tenant, superuser):
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    async with tenant_session(uuid4()) as session:
        assert (await session.execute(text("select id from tenants where id = :id"), {"id": tenant})).first()
        closed = await session.execute(text("update tenants set status = 'closed' where id = :id"), {"id": tenant})
        deleted = await session.execute(text("delete from tenants where id = :id"), {"id": tenant})
        assert (closed.rowcount, deleted.rowcount) == (0, 0)
    with pytest.raises(DBAPIError, match="row-level security"):
        async with tenant_session(uuid4()) as session:
            await session.execute(text("insert into tenants values (uuidv7(), 'squatter', 'active')"))
