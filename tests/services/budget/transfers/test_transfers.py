"""Money moves between two allocations of one year; none is made, lost or taken from what is committed."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client import REGISTRY

from libs.contracts.budget import AllocationChanged, TransferMade

TRANSFERS = "/api/v1/transfers"
Make = Callable[..., Awaitable[dict[str, Any]]]
Allocate = Callable[..., Awaitable[str]]


@pytest.fixture
async def year(make_fiscal_year: Make) -> str:
    """This year."""
    return (await make_fiscal_year())["id"]


@pytest.fixture
def allocate(client: httpx.AsyncClient, make_account: Make, year: str) -> Allocate:
    """An allocation of an account of its own: `await allocate("1000.00")`."""

    async def make(amount: str = "1000.00", fiscal_year_id: str = year) -> str:
        account = await make_account(f"a-{uuid4().hex[:8]}")
        wanted = {"fiscal_year_id": fiscal_year_id, "account_id": account["id"], "amount": amount}
        return (await client.post("/api/v1/allocations", json=wanted)).json()["id"]

    return make


async def transfer(client: httpx.AsyncClient, from_id: str, to_id: str, amount: str) -> httpx.Response:
    wanted = {"from_allocation_id": from_id, "to_allocation_id": to_id, "amount": amount, "reason": "More trips"}
    return await client.post(TRANSFERS, json=wanted)


async def amounts(client: httpx.AsyncClient, *ids: str) -> list[str]:
    return [(await client.get(f"/api/v1/allocations/{each}")).json()["amount"] for each in ids]


async def test_a_transfer_moves_money_and_can_be_found(client, allocate, user_id, published):
    counted = REGISTRY.get_sample_value("budget_transfers_total")
    giving, taking = await allocate(), await allocate("5.00")
    made = await transfer(client, giving, taking, "250.50")
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    shown = made.json()
    assert (shown["amount"], shown["reason"], shown["made_by"]) == ("250.50", "More trips", str(user_id))
    assert await amounts(client, giving, taking) == ["749.50", "255.50"]
    assert (await client.get(made.headers["location"])).json() == shown
    for params in ({}, {"allocation_id": giving}, {"allocation_id": taking}):
        assert (await client.get(TRANSFERS, params=params)).json()["items"] == [shown]
    assert (await client.get(TRANSFERS, params={"allocation_id": shown["id"]})).json()["items"] == []
    [event] = await published(TransferMade)
    assert (str(event.transfer_id), str(event.amount)) == (shown["id"], "250.50")
    changed = {str(each.allocation_id): str(each.amount) for each in await published(AllocationChanged)}
    assert changed == {giving: "749.50", taking: "255.50"}
    assert REGISTRY.get_sample_value("budget_transfers_total") == counted + 1


async def test_a_change_that_was_made_in_view_of_the_old_amount_is_refused(client, allocate):
    giving, taking = await allocate(), await allocate()
    await transfer(client, giving, taking, "1.00")
    for each in (giving, taking):
        path, stale = f"/api/v1/allocations/{each}", {"if-match": '"1"'}
        assert (await client.patch(path, json={"amount": "7.00"}, headers=stale)).status_code == 412


async def test_only_what_is_not_committed_can_be_moved(client, allocate, superuser, published):
    giving, taking = await allocate(), await allocate()
    await superuser.execute("update allocations set committed = 400 where id = $1", giving)
    refused = await transfer(client, giving, taking, "600.01")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/transfer-exceeds-available")
    assert refused.json()["available"] == "600.00"
    assert await published(TransferMade) == []
    assert (await transfer(client, giving, taking, "600.00")).status_code == 201


async def test_a_transfer_that_makes_no_sense_is_refused(client, allocate, make_fiscal_year):
    next_year = (await make_fiscal_year(name="2027", starts_on="2027-01-01", ends_on="2027-12-31"))["id"]
    here, there, full = await allocate(), await allocate(fiscal_year_id=next_year), await allocate("999999999999.99")
    wanted = {
        "/problems/different-fiscal-years": (409, here, there),
        "/problems/unknown-transfer-allocation": (422, here, str(uuid4())),
        "/problems/invalid-input": (422, here, here),
        "/problems/allocation-too-large": (409, here, full),
    }
    for problem, (status, giving, taking) in wanted.items():
        refused = await transfer(client, giving, taking, "1.00")
        assert (refused.status_code, refused.json()["type"]) == (status, problem)
    assert await amounts(client, here, there, full) == ["1000.00", "1000.00", "999999999999.99"]


async def test_a_reader_moves_nothing_and_a_stranger_sees_nothing(client, make_client, allocate):
    giving, taking = await allocate(), await allocate()
    made = (await transfer(client, giving, taking, "1.00")).json()
    stranger = make_client(tenant_id=uuid4())
    assert (await transfer(make_client("budget:read"), giving, taking, "1.00")).status_code == 403
    assert (await transfer(stranger, giving, taking, "1.00")).status_code == 422
    assert (await stranger.get(f"{TRANSFERS}/{made['id']}")).status_code == 404


async def test_transfers_in_both_directions_and_changes_at_once_lose_no_cent(client, allocate, superuser):
    """Three allocations give to each other in a circle, both ways round, with more asked for than there is."""
    ids = [await allocate("100.00") for _ in range(3)]
    circle = [(ids[i], ids[(i + step) % 3]) for i in range(3) for step in (1, 2)]
    answers = await asyncio.gather(*(transfer(client, *ends, "90.00") for ends in circle * 10))
    assert {answer.status_code for answer in answers} == {201, 409}
    left = [Decimal(each) for each in await amounts(client, *ids)]
    assert (sum(left), min(left) >= 0) == (300, True)
    moved = "select coalesce(sum(amount), 0) from transfers where {}_allocation_id = $1"
    for each, amount in zip(ids, left, strict=True):
        given, taken = [await superuser.fetchval(moved.format(end), each) for end in ("from", "to")]
        assert 100 - given + taken == amount
