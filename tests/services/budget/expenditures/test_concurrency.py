"""Two hundred approvals at once, through the real services and the real database, never overspend."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import httpx

from libs.contracts.budget import ExpenditureApproved


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
