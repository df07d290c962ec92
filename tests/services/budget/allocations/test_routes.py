"""Allocations over HTTP: exact money, one for each account and year, never below what is committed."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from libs.contracts.budget import AllocationChanged, AllocationMade

ALLOCATIONS = "/api/v1/allocations"


@pytest.fixture
async def plan(
    make_fiscal_year: Callable[..., Awaitable[dict[str, Any]]], make_account: Callable[..., Awaitable[dict[str, Any]]]
) -> dict[str, str]:
    """A year and an account to allocate to."""
    return {"fiscal_year_id": (await make_fiscal_year())["id"], "account_id": (await make_account())["id"]}


async def test_an_allocation_is_made_and_found_again(client, plan, published):
    made = await client.post(ALLOCATIONS, json=plan | {"amount": "1000"})
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    shown = made.json()
    assert (shown["amount"], shown["committed"], shown["available"]) == ("1000.00", "0.00", "1000.00")
    found = await client.get(made.headers["location"])
    assert (found.status_code, found.headers["etag"], found.json()) == (200, '"1"', shown)
    assert [str(event.allocation_id) for event in await published(AllocationMade)] == [shown["id"]]


@pytest.mark.parametrize(
    ("given", "kept"), [("0.01", "0.01"), ("999999999999.99", "999999999999.99"), ("7.5", "7.50"), ("007", "7.00")]
)
async def test_money_is_kept_exactly(client, plan, given, kept):
    made = await client.post(ALLOCATIONS, json=plan | {"amount": given})
    assert made.json()["amount"] == kept
    assert (await client.get(made.headers["location"])).json()["amount"] == kept


WRONG_MONEY = [
    "0.00",
    "0",
    "-1",
    "-0.01",
    "+1",
    1,
    1.5,
    "1e3",
    "1000000000000",
    "1.005",
    "1,000",
    " 1",
    "1\n",
    "\uff11",
    "NaN",
    "Infinity",
    "",
    None,
    True,
    [],
]


@pytest.mark.parametrize("amount", WRONG_MONEY)
async def test_what_is_no_money_is_refused(client, plan, published, amount):
    refused = await client.post(ALLOCATIONS, json=plan | {"amount": amount})
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-input")
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/body/amount"]
    assert await published(AllocationMade) == []


async def test_a_number_that_json_does_not_know_is_refused(client, plan):
    body = f'{{"fiscal_year_id": "{plan["fiscal_year_id"]}", "account_id": "{plan["account_id"]}", "amount": NaN}}'
    refused = await client.post(ALLOCATIONS, content=body, headers={"content-type": "application/json"})
    assert refused.status_code == 422


async def test_an_account_has_one_allocation_in_a_year(client, plan, published):
    assert (await client.post(ALLOCATIONS, json=plan | {"amount": "1.00"})).status_code == 201
    again = await client.post(ALLOCATIONS, json=plan | {"amount": "2.00"})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/allocation-exists")
    assert len(await published(AllocationMade)) == 1


@pytest.mark.parametrize(
    ("field", "problem"), [("fiscal_year_id", "unknown-fiscal-year"), ("account_id", "unknown-account")]
)
async def test_what_it_is_for_must_exist(client, plan, field, problem):
    refused = await client.post(ALLOCATIONS, json=plan | {"amount": "1.00", field: str(uuid4())})
    assert (refused.status_code, refused.json()["type"]) == (422, f"/problems/{problem}")


async def test_the_plans_of_another_tenant_are_unknown(make_client, plan):
    refused = await make_client(tenant_id=uuid4()).post(ALLOCATIONS, json=plan | {"amount": "1.00"})
    assert refused.status_code == 422
    assert refused.json()["type"] in ("/problems/unknown-fiscal-year", "/problems/unknown-account")


async def test_the_same_key_allocates_once(client, plan, published):
    wanted, key = plan | {"amount": "5.00"}, {"idempotency-key": str(uuid4())}
    first = await client.post(ALLOCATIONS, json=wanted, headers=key)
    again = await client.post(ALLOCATIONS, json=wanted, headers=key)
    other = await client.post(ALLOCATIONS, json=wanted | {"amount": "6.00"}, headers=key)
    assert (again.status_code, again.json(), again.headers["etag"]) == (201, first.json(), '"1"')
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")
    assert len(await published(AllocationMade)) == 1


async def test_the_amount_changes(client, make_allocation, published):
    path = f"{ALLOCATIONS}/{(await make_allocation('10.00'))['id']}"
    changed = await client.patch(path, json={"amount": "20.00"}, headers={"if-match": '"1"'})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert (changed.json()["amount"], changed.json()["available"]) == ("20.00", "20.00")
    assert [str(event.amount) for event in await published(AllocationChanged)] == ["20.00"]


async def test_a_change_must_name_the_version_that_it_changes(client, make_allocation):
    path = f"{ALLOCATIONS}/{(await make_allocation('10.00'))['id']}"
    assert (await client.patch(path, json={"amount": "20.00"})).status_code == 428
    assert (await client.patch(path, json={"amount": "20.00"}, headers={"if-match": '"2"'})).status_code == 412
    assert (await client.get(path)).json()["amount"] == "10.00"


async def test_another_tenants_allocation_does_not_exist(make_client, make_allocation):
    path = f"{ALLOCATIONS}/{(await make_allocation())['id']}"
    other = make_client(tenant_id=uuid4())
    read = await other.get(path)
    changed = await other.patch(path, json={"amount": "1.00"}, headers={"if-match": "*"})
    assert (read.status_code, changed.status_code) == (404, 404)
    assert (await other.get(ALLOCATIONS)).json()["items"] == []


async def test_the_list_can_show_one_year(client, make_allocation):
    allocation = await make_allocation()

    async def shown(**filters: str) -> list[str]:
        return [each["id"] for each in (await client.get(ALLOCATIONS, params=filters)).json()["items"]]

    assert await shown() == await shown(fiscal_year_id=allocation["fiscal_year_id"]) == [allocation["id"]]
    assert await shown(fiscal_year_id=str(uuid4())) == []


async def test_the_database_refuses_to_overspend(superuser, make_allocation, tenant_id):
    await make_allocation("10.00")
    with pytest.raises(Exception, match="ck_allocations_not_overspent"):
        await superuser.execute("update allocations set committed = 10.01 where tenant_id = $1", tenant_id)
