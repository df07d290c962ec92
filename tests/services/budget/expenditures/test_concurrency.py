"""Many approvals at once, through the real services and the real database, never overspend and hold up no other tenant."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client import REGISTRY

from libs.contracts.budget import ExpenditureApproved
from libs.service_kit.client import ServiceClient


async def decide(
    approve: Callable[..., Awaitable[httpx.Response]], manager: SimpleNamespace, requested: dict[str, Any]
) -> httpx.Response:
    """The answer of an approval; while the machine is too busy for one, asked again as `Retry-After` says."""
    for _ in range(100):
        answer = await approve(manager, requested)
        if answer.status_code != 503:
            break
        await asyncio.sleep(int(answer.headers["retry-after"]))
    return answer


async def test_two_hundred_approvals_at_once_never_overspend(
    client, allocation, manager, make_request, approve, published, superuser, tenant_id
):
    """Each asks for 7.00 of 1000.00: 142 fit, and 6.00 are left."""
    requested = [await make_request("7.00") for _ in range(200)]
    answers = await asyncio.gather(*(decide(approve, manager, each) for each in requested))
    statuses = [answer.status_code for answer in answers]
    assert {status: statuses.count(status) for status in set(statuses)} == {200: 142, 409: 58}
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert {each["type"] for each in refused} == {"/problems/budget-exceeded"}
    left = (await client.get(f"/api/v1/allocations/{allocation['id']}")).json()
    assert (left["committed"], left["available"]) == ("994.00", "6.00")
    approved = "select sum(amount) from expenditures where tenant_id = $1 and status = 'approved'"
    assert await superuser.fetchval(approved, tenant_id) == 994
    assert len(await published(ExpenditureApproved)) == 142


@pytest.fixture
async def patient(
    app_state: dict[str, Any], personnel_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """Budget gives personnel the time that it takes on the slowest machine."""
    async with ServiceClient("personnel", personnel_url, deadline=60) as client:
        monkeypatch.setitem(app_state["clients"], "personnel", client)
        yield


async def test_one_tenants_approvals_at_once_refuse_no_other_tenant(
    patient, manager, make_request, make_client, approve
):
    """Personnel has not failed, however many wait to ask it."""
    requested = [await make_request("1.00") for _ in range(200)]
    other = make_client(tenant_id=uuid4())
    approvals = [asyncio.create_task(approve(manager, each)) for each in requested]
    while not all(task.done() for task in approvals):
        assert (await other.get("/api/v1/allocations")).status_code == 200
    refused = {task.result().json()["type"] for task in approvals if task.result().status_code != 200}
    assert refused <= {"/problems/overloaded"}
    labels = {"target": "personnel", "circuit_breaker_state": "closed"}
    assert REGISTRY.get_sample_value("circuit_breaker_state", labels) == 1
