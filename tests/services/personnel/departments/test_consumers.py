"""What personnel prepares for a tenant, and undoes."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from uuid import UUID, uuid4

import httpx
from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts import CloudEvent
from libs.contracts.personnel import DepartmentCreated
from libs.contracts.provisioning import TenantPrepared
from libs.contracts.tenant import TenantClosed, TenantCreated
from libs.service_kit.events.inbox import consume
from services.personnel.departments.consumers import on_tenant_closed, on_tenant_created
from services.personnel.main import HANDLERS

DEPARTMENTS = "/api/v1/departments"
Open = Callable[..., AbstractAsyncContextManager[AsyncSession]]


async def prepare(tenant_session: Open, tenant_id: UUID) -> None:
    async with tenant_session() as session:
        await on_tenant_created(session, TenantCreated(tenant_id=tenant_id, code="acme", name="Acme Ltd"))


async def close(tenant_session: Open, tenant_id: UUID) -> None:
    async with tenant_session() as session:
        await on_tenant_closed(session, TenantClosed(tenant_id=tenant_id, reason="no answer"))


async def departments(client: httpx.AsyncClient) -> list[tuple[str, str]]:
    return [(each["code"], each["name"]) for each in (await client.get(DEPARTMENTS)).json()["items"]]


async def test_a_new_tenant_gets_a_root_department(client, tenant_session, tenant_id, published):
    await prepare(tenant_session, tenant_id)
    assert await departments(client) == [("root", "Acme Ltd")]
    assert await published(TenantPrepared) == [TenantPrepared(tenant_id=tenant_id, service="personnel")]
    assert len(await published(DepartmentCreated)) == 1


async def test_being_told_twice_plants_one_root(client, tenant_session, tenant_id):
    await prepare(tenant_session, tenant_id)
    await prepare(tenant_session, tenant_id)
    assert await departments(client) == [("root", "Acme Ltd")]


async def test_closing_takes_the_root_away(client, tenant_session, tenant_id):
    await prepare(tenant_session, tenant_id)
    await close(tenant_session, tenant_id)
    assert await departments(client) == []


async def test_closing_keeps_what_people_have_entered(client, tenant_session, tenant_id, make_department):
    await prepare(tenant_session, tenant_id)
    [root] = (await client.get(DEPARTMENTS)).json()["items"]
    await make_department("sales", parent_id=root["id"])
    await close(tenant_session, tenant_id)
    assert await departments(client) == [("sales", "Sales"), ("root", "Acme Ltd")]


async def test_closing_before_creating_is_harmless(client, tenant_session, tenant_id):
    await close(tenant_session, tenant_id)
    assert await departments(client) == []


async def test_an_event_delivered_twice_has_one_effect(sessions, tenant_id, published):
    created = TenantCreated(tenant_id=tenant_id, code="acme", name="Acme Ltd")
    envelope = CloudEvent(
        id=uuid4(),
        source="tenant-service",
        type=created.type,
        subject=created.subject,
        time="2026-01-01T00:00:00Z",
        tenantid=tenant_id,
        data=created.model_dump(mode="json"),
    )
    assert await consume(sessions, HANDLERS, [envelope, envelope], "http") == [None, None]
    assert await consume(sessions, HANDLERS, [envelope], "http") == [None]
    assert len(await published(TenantPrepared)) == 1
