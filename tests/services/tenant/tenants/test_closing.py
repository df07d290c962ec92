"""A tenant is closed from suspension only, once every service has exported it since, and then for good."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from prometheus_client import REGISTRY

from libs.contracts.provisioning import TenantExported, TenantPrepared
from libs.contracts.tenant import TenantClosed
from libs.services import PARTICIPANTS
from services.tenant.tenants.consumers import on_tenant_exported, on_tenant_prepared

TENANTS = "/api/v1/tenants"
Make = Callable[..., Awaitable[dict[str, Any]]]
Do = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def tenant(make_tenant: Make, tenant_session: Callable[..., Any], do: Do) -> dict[str, Any]:
    """A suspended tenant."""
    made = await make_tenant()
    async with tenant_session(UUID(made["id"])) as session:
        for service in PARTICIPANTS:
            await on_tenant_prepared(session, TenantPrepared(tenant_id=UUID(made["id"]), service=service))
    assert (await do(made, "suspend", reason="Unpaid")).status_code == 200
    return made


@pytest.fixture
def do(platform: httpx.AsyncClient) -> Do:
    """Ask for a turn of a tenant: `await do(tenant, "close", reason="Gone")`."""

    async def ask(tenant: dict[str, Any], verb: str, **wanted: Any) -> httpx.Response:
        return await platform.post(f"{TENANTS}/{tenant['id']}/{verb}", json=wanted, headers={"if-match": "*"})

    return ask


@pytest.fixture
def export(tenant_session: Callable[..., Any]) -> Callable[..., Awaitable[None]]:
    """Let services say that they have exported a tenant."""

    async def say(tenant: dict[str, Any], number: int, *services: str) -> None:
        tenant_id = UUID(tenant["id"])
        async with tenant_session(tenant_id) as session:
            for service in services:
                await on_tenant_exported(session, TenantExported(tenant_id=tenant_id, service=service, number=number))

    return say


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels)


async def test_a_tenant_that_every_service_has_exported_is_closed(tenant, do, export, read_tenant, published):
    failed, left = (
        counted("tenants_provisioned_total", outcome="closed"),
        counted("tenants_turned_total", turn="closed"),
    )
    await export(tenant, 1, *PARTICIPANTS[1:])
    refused = await do(tenant, "close", reason="Gone")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/not-exported")
    assert refused.json()["detail"].endswith(f": {PARTICIPANTS[0]}.")
    await export(tenant, 1, PARTICIPANTS[0])
    closed = await do(tenant, "close", reason="Gone")
    assert (closed.status_code, closed.json()["status"], closed.json()["reason"]) == (200, "closed", "Gone")
    assert all(step["exported_at"] for step in (await read_tenant(tenant["id"]))["provisioning"])
    [event] = await published(TenantClosed, tenant_id=UUID(tenant["id"]))
    assert (event.reason, event.was_active) == ("Gone", True)
    # No alert: nothing has failed.
    assert counted("tenants_provisioned_total", outcome="closed") == failed
    assert counted("tenants_turned_total", turn="closed") == left + 1


async def test_an_export_of_before_the_suspension_does_not_count(tenant, do, export):
    await export(tenant, 0, *PARTICIPANTS)
    await export(tenant, 1, *PARTICIPANTS)
    await do(tenant, "resume")
    await do(tenant, "suspend", reason="Again")
    await export(tenant, 1, *PARTICIPANTS)
    assert (await do(tenant, "close", reason="Gone")).json()["type"] == "/problems/not-exported"
    assert (await do(tenant, "close", reason="Gone", without_export=True)).status_code == 200


async def test_every_part_of_an_export_is_counted_once_its_commit_has_succeeded(tenant, export, tenant_session):
    before = {each: counted("tenants_exported_total", participant=each) for each in PARTICIPANTS}
    given = TenantExported(tenant_id=UUID(tenant["id"]), service="auth", number=1)
    with pytest.raises(RuntimeError, match="no commit"):
        async with tenant_session(given.tenant_id) as session:
            await on_tenant_exported(session, given)
            raise RuntimeError("no commit")
    assert counted("tenants_exported_total", participant="auth") == before["auth"]
    await export(tenant, 0, *PARTICIPANTS)
    await export(tenant, 1, "auth", "nobody's")
    assert {each: counted("tenants_exported_total", participant=each) for each in PARTICIPANTS} == {
        each: before[each] + (2 if each == "auth" else 1) for each in PARTICIPANTS
    }
    assert counted("tenants_exported_total", participant="nobody's") is None


async def test_only_a_suspended_tenant_can_be_closed_and_a_closed_one_stays_closed(tenant, make_tenant, do):
    new = await do(await make_tenant(), "close", reason="Gone", without_export=True)
    assert (new.status_code, new.json()["type"]) == (409, "/problems/cannot-close")
    await do(tenant, "close", reason="Gone", without_export=True)
    for verb, wanted in (("close", {"reason": "Gone"}), ("resume", {}), ("suspend", {"reason": "Again"})):
        assert (await do(tenant, verb, **wanted)).status_code == 409


async def test_nobody_else_may_close(make_client, tenant):
    insider = make_client("tenants:write")
    path, headers = f"{TENANTS}/{tenant['id']}/close", {"if-match": "*"}
    assert (await insider.post(path, json={"reason": "Gone"}, headers=headers)).status_code == 403
