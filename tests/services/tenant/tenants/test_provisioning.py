"""The saga: what the answers of the services, and their silence, make of a tenant."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts import PLATFORM_TENANT_ID, CloudEvent
from libs.contracts.provisioning import TenantPreparationFailed, TenantPrepared
from libs.contracts.tenant import TenantActivated, TenantClosed
from libs.service_kit.events.inbox import consume
from libs.services import PARTICIPANTS
from services.tenant.main import HANDLERS
from services.tenant.tenants import queries, timeout
from services.tenant.tenants.consumers import on_tenant_preparation_failed, on_tenant_prepared
from tests.fixtures.waiting import eventually_async

PATIENCE = timedelta(seconds=120)


@pytest.fixture
def answer(
    tenant_session: Callable[..., AbstractAsyncContextManager[AsyncSession]],
) -> Callable[..., Awaitable[None]]:
    """Let a participant answer, in a transaction of its own that belongs to the new tenant."""

    async def give(tenant: dict, service: str, refusal: str | None = None) -> None:
        tenant_id = UUID(tenant["id"])
        async with tenant_session(tenant_id) as session:
            if refusal is None:
                await on_tenant_prepared(session, TenantPrepared(tenant_id=tenant_id, service=service))
            else:
                event = TenantPreparationFailed(tenant_id=tenant_id, service=service, reason=refusal)
                await on_tenant_preparation_failed(session, event)

    return give


@pytest.fixture
def endings(
    published: Callable[..., Awaitable[list[Any]]],
) -> Callable[[dict[str, Any]], Awaitable[list[TenantActivated | TenantClosed]]]:
    """The events that end a tenant's provisioning."""

    async def read(tenant: dict[str, Any]) -> list[TenantActivated | TenantClosed]:
        tenant_id = UUID(tenant["id"])
        return [
            *await published(TenantActivated, tenant_id=tenant_id),
            *await published(TenantClosed, tenant_id=tenant_id),
        ]

    return read


@pytest.fixture
def make_older(superuser: asyncpg.Connection) -> Callable[[dict[str, Any], timedelta], Awaitable[None]]:
    """Let a tenant have been created earlier."""

    async def age(tenant: dict, by: timedelta) -> None:
        await superuser.execute(
            "update tenants set created_at = now() - $2::interval where id = $1", UUID(tenant["id"]), by
        )

    return age


def steps(tenant: dict) -> dict[str, str]:
    return {step["service"]: step["status"] for step in tenant["provisioning"]}


def ended(outcome: str) -> float:
    return REGISTRY.get_sample_value("tenants_provisioned_total", {"outcome": outcome})


async def test_a_tenant_is_active_when_the_last_service_is_prepared(make_tenant, read_tenant, answer, endings):
    tenant = await make_tenant()
    before, timed = ended("active"), REGISTRY.get_sample_value("tenant_provisioning_seconds_count")
    for service in PARTICIPANTS[:-1]:
        await answer(tenant, service)
    waiting = await read_tenant(tenant["id"])
    assert waiting["status"] == "provisioning"
    assert steps(waiting) == {"auth": "prepared", "budget": "prepared", "personnel": "prepared", "system": "pending"}
    assert await endings(tenant) == []

    await answer(tenant, PARTICIPANTS[-1])
    active = await read_tenant(tenant["id"])
    assert (active["status"], active["reason"], active["version"]) == ("active", None, 2)
    assert all(step["status"] == "prepared" and step["at"] for step in active["provisioning"])
    assert await endings(tenant) == [TenantActivated(tenant_id=UUID(tenant["id"]))]
    assert ended("active") == before + 1
    assert REGISTRY.get_sample_value("tenant_provisioning_seconds_count") == timed + 1


async def test_answers_at_the_same_time_activate_once(make_tenant, read_tenant, answer, endings):
    tenants = [await make_tenant() for _ in range(5)]
    await asyncio.gather(*(answer(tenant, service) for service in PARTICIPANTS for tenant in tenants))
    for tenant in tenants:
        assert (await read_tenant(tenant["id"]))["status"] == "active"
        assert await endings(tenant) == [TenantActivated(tenant_id=UUID(tenant["id"]))]


async def test_a_refusal_closes_the_tenant(platform, make_tenant, read_tenant, answer, endings):
    tenant = await make_tenant()
    before = ended("closed")
    await answer(tenant, "auth")
    await answer(tenant, "budget", refusal="no currency")
    closed = await read_tenant(tenant["id"])
    reason = "budget could not prepare: no currency"
    assert (closed["status"], closed["reason"]) == ("closed", reason)
    assert steps(closed) == {"auth": "prepared", "budget": "failed", "personnel": "pending", "system": "pending"}
    assert closed["provisioning"][1]["reason"] == "no currency"
    assert await endings(tenant) == [TenantClosed(tenant_id=UUID(tenant["id"]), reason=reason)]
    assert ended("closed") == before + 1

    renamed = await platform.patch(f"/api/v1/tenants/{tenant['id']}", json={"name": "A"}, headers={"If-Match": "*"})
    assert (renamed.status_code, renamed.json()["type"]) == (409, "/problems/tenant-is-closed")


async def test_answers_after_the_end_are_recorded_and_change_nothing(make_tenant, read_tenant, answer, endings):
    tenant = await make_tenant()
    await answer(tenant, "budget", refusal="no currency")
    ending = await endings(tenant)
    for service in ("auth", "personnel"):
        await answer(tenant, service)
    await answer(tenant, "system", refusal="no room")
    closed = await read_tenant(tenant["id"])
    assert (closed["status"], closed["reason"]) == ("closed", "budget could not prepare: no currency")
    assert steps(closed) == {"auth": "prepared", "budget": "failed", "personnel": "prepared", "system": "failed"}
    assert await endings(tenant) == ending


async def test_the_first_answer_of_a_service_counts(make_tenant, read_tenant, answer, endings):
    tenant = await make_tenant()
    await answer(tenant, "auth")
    first = await read_tenant(tenant["id"])
    await answer(tenant, "auth")
    await answer(tenant, "auth", refusal="changed my mind")
    assert await read_tenant(tenant["id"]) == first
    assert await endings(tenant) == []


async def test_strangers_and_unknown_tenants_change_nothing(make_tenant, read_tenant, answer, endings, superuser):
    tenant = await make_tenant()
    await answer(tenant, "payroll")
    await answer(tenant, "payroll", refusal="no")
    assert await read_tenant(tenant["id"]) == tenant
    nobody = {"id": str(uuid4())}
    await answer(nobody, "auth")
    assert await superuser.fetchval("select count(*) from tenants where id = $1", UUID(nobody["id"])) == 0
    assert await endings(nobody) == []


async def test_a_batch_of_answers_for_two_tenants_takes_effect_once(make_tenant, read_tenant, sessions, endings):
    tenants = [await make_tenant(), await make_tenant()]
    batch = [
        CloudEvent(
            id=uuid4(),
            source=f"{service}-service",
            type=TenantPrepared.type,
            subject=f"tenant/{tenant['id']}",
            time="2026-01-01T00:00:00Z",
            tenantid=tenant["id"],
            actorid=uuid4(),
            data={"tenant_id": tenant["id"], "service": service},
        )
        for service in PARTICIPANTS
        for tenant in tenants
    ]
    for _ in range(2):
        assert await consume(sessions, HANDLERS, batch, "http") == [None] * 8
    for tenant in tenants:
        assert (await read_tenant(tenant["id"]))["status"] == "active"
        assert await endings(tenant) == [TenantActivated(tenant_id=UUID(tenant["id"]))]


async def test_the_actor_of_an_answer_is_the_actor_of_what_follows(make_tenant, tenant_session, superuser):
    tenant_id, actor = UUID((await make_tenant())["id"]), uuid4()
    for service in PARTICIPANTS:
        async with tenant_session(tenant_id, actor) as session:
            await on_tenant_prepared(session, TenantPrepared(tenant_id=tenant_id, service=service))
    actor_id = await superuser.fetchval(
        "select envelope->>'actorid' from outbox where tenant_id = $1 and envelope->>'type' = $2 limit 1",
        tenant_id,
        TenantActivated.type,
    )
    assert actor_id == str(actor)


async def test_a_tenant_that_waits_too_long_is_closed(make_tenant, make_older, read_tenant, answer, endings, sessions):
    overdue, recent = await make_tenant(), await make_tenant()
    await answer(overdue, "system")
    await make_older(overdue, PATIENCE + timedelta(seconds=1))
    await make_older(recent, PATIENCE - timedelta(seconds=60))
    await timeout.close_overdue(sessions, PATIENCE)
    closed = await read_tenant(overdue["id"])
    reason = "no answer in time from auth, budget, personnel"
    assert (closed["status"], closed["reason"]) == ("closed", reason)
    assert steps(closed)["auth"] == "pending"
    assert await endings(overdue) == [TenantClosed(tenant_id=UUID(overdue["id"]), reason=reason)]
    assert (await read_tenant(recent["id"]))["status"] == "provisioning"


async def test_an_active_tenant_is_never_overdue(make_tenant, make_older, read_tenant, answer, endings, sessions):
    tenant = await make_tenant()
    for service in PARTICIPANTS:
        await answer(tenant, service)
    await make_older(tenant, timedelta(days=400))
    await timeout.close_overdue(sessions, PATIENCE)
    assert (await read_tenant(tenant["id"]))["status"] == "active"
    assert await endings(tenant) == [TenantActivated(tenant_id=UUID(tenant["id"]))]


async def test_several_replicas_close_an_overdue_tenant_once(make_tenant, make_older, endings, sessions):
    tenants = [await make_tenant() for _ in range(4)]
    for tenant in tenants:
        await make_older(tenant, timedelta(hours=1))
    await asyncio.gather(*(timeout.close_overdue(sessions, PATIENCE) for _ in range(4)))
    for tenant in tenants:
        assert [type(event) for event in await endings(tenant)] == [TenantClosed]


async def test_the_sweep_passes_over_a_tenant_that_is_being_answered(
    make_tenant, make_older, read_tenant, answer, endings, sessions, tenant_session
):
    tenant = await make_tenant()
    for service in PARTICIPANTS[:-1]:
        await answer(tenant, service)
    await make_older(tenant, timedelta(hours=1))
    async with tenant_session(PLATFORM_TENANT_ID) as session:
        await queries.lock(session, UUID(tenant["id"]))
        await timeout.close_overdue(sessions, PATIENCE)
        assert (await read_tenant(tenant["id"]))["status"] == "provisioning"
    await answer(tenant, PARTICIPANTS[-1])
    assert (await read_tenant(tenant["id"]))["status"] == "active"
    assert await endings(tenant) == [TenantActivated(tenant_id=UUID(tenant["id"]))]


async def test_the_running_service_closes_what_is_overdue(make_tenant, make_older, read_tenant):
    tenant = await make_tenant()
    await make_older(tenant, timedelta(days=2))

    async def is_closed() -> bool:
        return (await read_tenant(tenant["id"]))["status"] == "closed"

    await eventually_async(is_closed, 30, "the tenant is not closed")
