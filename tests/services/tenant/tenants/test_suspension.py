"""A tenant is suspended and resumed by the platform, in numbered turns, and nobody else can do it."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from prometheus_client import REGISTRY

from libs.contracts.provisioning import TenantPrepared
from libs.contracts.tenant import TenantResumed, TenantSuspended
from libs.services import PARTICIPANTS
from services.tenant.tenants.consumers import on_tenant_prepared

TENANTS = "/api/v1/tenants"
Make = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def active(make_tenant: Make, tenant_session: Callable[..., Any]) -> dict[str, Any]:
    """An active tenant, as it was created."""
    tenant = await make_tenant()
    async with tenant_session(UUID(tenant["id"])) as session:
        for service in PARTICIPANTS:
            await on_tenant_prepared(session, TenantPrepared(tenant_id=UUID(tenant["id"]), service=service))
    return tenant


async def turn(client: httpx.AsyncClient, tenant: dict[str, Any], verb: str, if_match: str = "*") -> httpx.Response:
    json = {"reason": "Unpaid"} if verb == "suspend" else None
    return await client.post(f"{TENANTS}/{tenant['id']}/{verb}", json=json, headers={"if-match": if_match})


def turned(which: str) -> float:
    return REGISTRY.get_sample_value("tenants_turned_total", {"turn": which})


async def test_a_suspended_tenant_can_be_resumed_and_suspended_again(platform, active, published):
    before = turned("suspended"), turned("resumed")
    suspended = await turn(platform, active, "suspend")
    assert (suspended.status_code, suspended.json()["status"], suspended.json()["reason"]) == (
        200,
        "suspended",
        "Unpaid",
    )
    resumed = await turn(platform, active, "resume", suspended.headers["etag"])
    assert (resumed.status_code, resumed.json()["status"], resumed.json()["reason"]) == (200, "active", None)
    assert (await turn(platform, active, "suspend")).status_code == 200
    tenant_id = UUID(active["id"])
    assert [event.number for event in await published(TenantSuspended, tenant_id=tenant_id)] == [1, 3]
    assert [event.number for event in await published(TenantResumed, tenant_id=tenant_id)] == [2]
    assert (turned("suspended"), turned("resumed")) == (before[0] + 2, before[1] + 1)


async def test_a_tenant_in_another_status_is_neither_suspended_nor_resumed(platform, make_tenant, active):
    for tenant, verb in ((await make_tenant(), "suspend"), (active, "resume")):
        refused = await turn(platform, tenant, verb)
        assert (refused.status_code, refused.json()["type"]) == (409, f"/problems/cannot-{verb}")
    await turn(platform, active, "suspend")
    assert (await turn(platform, active, "suspend")).status_code == 409


@pytest.mark.parametrize("verb", ["suspend", "resume"])
async def test_only_the_platform_may_and_only_in_view_of_the_present_version(platform, make_client, active, verb):
    insider = make_client("tenants:read", "tenants:write")
    assert (await turn(insider, active, verb)).status_code == 403
    assert (await turn(platform, active, verb, '"9"')).status_code == 412
