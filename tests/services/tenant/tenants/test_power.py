"""Whoever changes a tenant may do so by their row at that moment: a token of before is not enough."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from stack.ports import free_port

from libs.contracts import PLATFORM_TENANT_ID
from libs.service_kit import power
from libs.service_kit.client import ServiceClient

TENANTS = "/api/v1/tenants"
ACTS = [
    ("PATCH", "", {"name": "Other"}),
    ("POST", "/plan", {"plan": "small"}),
    ("POST", "/suspend", {"reason": "Unpaid"}),
    ("POST", "/resume", None),
    ("POST", "/close", {"reason": "Gone", "without_export": True}),
]


@pytest.fixture
def former(make_client: Callable[..., httpx.AsyncClient], powerless: set[UUID]) -> httpx.AsyncClient:
    """One of the platform's people, switched off a moment ago."""
    user = uuid4()
    powerless.add(user)
    return make_client("tenants:read", "tenants:write", tenant_id=PLATFORM_TENANT_ID, user_id=user)


@pytest.fixture
async def tenant(make_tenant: Callable[..., Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """A tenant."""
    return await make_tenant()


async def act(client: httpx.AsyncClient, tenant: dict[str, Any], method: str, verb: str, wanted: Any) -> httpx.Response:
    path, headers = f"{TENANTS}/{tenant['id']}{verb}", {"if-match": "*"}
    return await client.request(method, path, json=wanted, headers=headers)


@pytest.mark.parametrize(("method", "verb", "wanted"), ACTS)
async def test_who_was_switched_off_changes_no_tenant(former, tenant, read_tenant, method, verb, wanted):
    refused = await act(former, tenant, method, verb, wanted)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/forbidden")
    assert refused.json()["missing"] == ["tenants:write"]
    assert await read_tenant(tenant["id"]) == tenant


async def test_nor_do_they_create_one(former, platform, new_code):
    wanted = {"code": new_code(), "name": "Nordlicht GmbH"}
    assert (await former.post(TENANTS, json=wanted)).status_code == 403
    assert (await platform.post(TENANTS, json=wanted)).status_code == 201


@pytest.mark.parametrize(("method", "verb", "wanted"), ACTS)
async def test_while_auth_does_not_answer_no_tenant_is_changed(
    platform, app_state, monkeypatch, tenant, read_tenant, method, verb, wanted
):
    async with ServiceClient("auth", f"http://127.0.0.1:{free_port()}") as away:
        monkeypatch.setitem(app_state, "held", partial(power.ask, away))
        refused = await act(platform, tenant, method, verb, wanted)
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/unavailable")
    assert refused.headers["retry-after"] == "2"
    assert await read_tenant(tenant["id"]) == tenant


async def test_nor_if_auth_refuses_to_say(platform, app_state, monkeypatch, tenant, read_tenant, run_service):
    """Here another service answers in its place, with 404."""
    async with ServiceClient("auth", await run_service("personnel")) as other:
        monkeypatch.setitem(app_state, "held", partial(power.ask, other))
        refused = await act(platform, tenant, *ACTS[0])
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/unavailable")
    assert await read_tenant(tenant["id"]) == tenant
