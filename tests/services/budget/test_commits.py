"""When COMMIT fails, no line, no count and no event speaks of what the rule has done, and the answer is an error."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from services.budget.fiscal_years import consumers
from tests.services.commits import Act, World, answered, sites


class Budget:
    """A client, and what stands before each case."""

    def __init__(self, world: World, client: httpx.AsyncClient, make_allocation: Any, hire: Any) -> None:
        self.world, self.client, self.make_allocation, self.hire = world, client, make_allocation, hire

    async def request(self) -> tuple[httpx.AsyncClient, dict[str, Any]]:
        """A request to spend, and the client of somebody else, who may decide about it."""
        member = await self.hire("budget:request", "budget:read")
        manager = await self.hire("budget:approve", "budget:request", "budget:read", "personnel:read")
        allocation = await self.make_allocation()
        wanted = {"allocation_id": allocation["id"], "amount": "10.00", "purpose": "A trip"}
        made = await member.client.post("/api/v1/expenditures", json=wanted)
        assert made.status_code == 201, made.text
        return manager.client, made.json()


def post(client: httpx.AsyncClient, path: str, **given: Any) -> Act:
    return lambda: answered(client.post(f"/api/v1/{path}", headers={"if-match": "*"}, json=given))


async def open_year(budget: Budget) -> Act:
    return post(budget.client, "fiscal-years", name="2026", starts_on="2026-01-01", ends_on="2026-12-31")


async def open_account(budget: Budget) -> Act:
    return post(budget.client, "accounts", code="travel", name="Travel")


async def rename_account(budget: Budget) -> Act:
    account = (await budget.client.post("/api/v1/accounts", json={"code": "travel", "name": "Travel"})).json()
    path, headers = f"/api/v1/accounts/{account['id']}", {"if-match": "*"}
    return lambda: answered(budget.client.patch(path, headers=headers, json={"name": "Other"}))


async def allocate(budget: Budget) -> Act:
    allocation = await budget.make_allocation()
    account = (await budget.client.post("/api/v1/accounts", json={"code": "other", "name": "Other"})).json()
    given = {"fiscal_year_id": allocation["fiscal_year_id"], "account_id": account["id"], "amount": "5"}
    return post(budget.client, "allocations", **given)


async def change_allocation(budget: Budget) -> Act:
    path = f"/api/v1/allocations/{(await budget.make_allocation())['id']}"
    return lambda: answered(budget.client.patch(path, headers={"if-match": "*"}, json={"amount": "7.00"}))


async def transfer(budget: Budget) -> Act:
    giving = await budget.make_allocation()
    account = (await budget.client.post("/api/v1/accounts", json={"code": "other", "name": "Other"})).json()
    given = {"fiscal_year_id": giving["fiscal_year_id"], "account_id": account["id"], "amount": "5"}
    taking = (await budget.client.post("/api/v1/allocations", json=given)).json()
    ends = {"from_allocation_id": giving["id"], "to_allocation_id": taking["id"]}
    return post(budget.client, "transfers", **ends, amount="1.00", reason="More trips")


async def request(budget: Budget) -> Act:
    allocation, member = await budget.make_allocation(), await budget.hire("budget:request", "budget:read")
    return post(member.client, "expenditures", allocation_id=allocation["id"], amount="10.00", purpose="A trip")


async def approve(budget: Budget) -> Act:
    manager, requested = await budget.request()
    return post(manager, f"expenditures/{requested['id']}/approve")


async def reject(budget: Budget) -> Act:
    manager, requested = await budget.request()
    return post(manager, f"expenditures/{requested['id']}/reject", reason="Too far")


async def prepare(budget: Budget) -> Act:
    return lambda: budget.world.hear_of_tenant(consumers.on_tenant_created)


CASES: dict[str, Callable[[Budget], Awaitable[Act]]] = {
    "fiscal_years.service.open_year FiscalYearOpened": open_year,
    "fiscal_years.consumers.on_tenant_created TenantPrepared": prepare,
    "accounts.service.open_account AccountOpened": open_account,
    "accounts.service.rename AccountRenamed": rename_account,
    "allocations.service.allocate AllocationMade": allocate,
    "allocations.service.change AllocationChanged": change_allocation,
    "transfers.service.transfer TransferMade": transfer,
    "transfers.service.transfer AllocationChanged": transfer,
    "expenditures.service.request ExpenditureRequested": request,
    "expenditures.service._commit ExpenditureApproved": approve,
    "expenditures.service.reject ExpenditureRejected": reject,
}


@pytest.mark.parametrize("site", sites("budget"))
async def test_nothing_speaks_of_what_is_not_committed(world, client, make_allocation, hire, site):
    await world.hold(site, await CASES[site](Budget(world, client, make_allocation, hire)))
