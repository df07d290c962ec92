"""Many approvals at once, through the real services and the real database, never overspend and hold up no other tenant."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from math import inf
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client import REGISTRY

from libs.contracts.budget import ExpenditureApproved
from libs.service_kit import lateness
from libs.service_kit.client import ServiceClient
from tests.fixtures.app import transport_to


@pytest.fixture
async def patient(
    app_state: dict[str, Any], personnel_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """Budget gives personnel the time that it takes on the slowest machine."""
    async with ServiceClient("personnel", personnel_url, deadline=60) as client:
        monkeypatch.setitem(app_state["clients"], "personnel", client)
        yield


async def decide(approve: Callable[..., Awaitable[httpx.Response]], *given: Any) -> httpx.Response:
    """The answer of an approval, asked again after a 503: on a busy machine the wait for a lock can time out too."""
    for _ in range(100):
        answer = await approve(*given)
        if answer.status_code != 503:
            break
        await asyncio.sleep(int(answer.headers["retry-after"]))
    return answer


async def test_two_hundred_approvals_at_once_never_overspend(
    patient, client, allocation, manager, make_request, approve, published, superuser, tenant_id
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


async def test_one_tenants_approvals_at_once_refuse_no_other_tenant(
    patient, manager, make_request, approve, app, app_state, make_token, monkeypatch
):
    """Personnel has not failed, however many wait to ask it."""
    requested = [await make_request("1.00") for _ in range(200)]
    monkeypatch.setattr(lateness, "LATE_SECONDS", inf)  # or a service on a slow machine refuses everybody
    headers = {"authorization": f"Bearer {make_token(tenant_id=uuid4())}"}
    # A client who asks once: the first refusal counts.
    way = transport_to(app, app_state)
    async with httpx.AsyncClient(transport=way, base_url="http://service", headers=headers) as other:
        approvals = [asyncio.create_task(approve(manager, each)) for each in requested]
        while not all(task.done() for task in approvals):
            assert (await other.get("/api/v1/allocations")).status_code == 200
    refused = {task.result().json()["detail"] for task in approvals if task.result().status_code != 200}
    assert not [detail for detail in refused if "personnel" in detail]
    labels = {"target": "personnel", "circuit_breaker_state": "closed"}
    assert REGISTRY.get_sample_value("circuit_breaker_state", labels) == 1
