"""The budget service under test beside a real personnel service, and quick ways to what most tests begin with."""

from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from libs.service_kit.settings import ServiceSettings

Make = Callable[..., Awaitable[dict[str, Any]]]
Person = SimpleNamespace


@pytest.fixture(scope="session")
def service_name() -> str:
    return "budget"


@pytest.fixture(scope="session")
async def personnel_url(run_service: Callable[..., Awaitable[str]]) -> str:
    """Where the real personnel service answers."""
    return await run_service("personnel")


@pytest.fixture(scope="session")
def service_settings(settings_of: Callable[..., ServiceSettings], personnel_url: str) -> ServiceSettings:
    return settings_of("budget", services={"personnel": personnel_url})


@pytest.fixture
async def personnel(personnel_url: str, make_token: Callable[..., str]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of personnel, for this test's tenant."""
    headers = {"authorization": f"Bearer {make_token()}"}
    async with httpx.AsyncClient(base_url=personnel_url, headers=headers) as client:
        yield client


@pytest.fixture
def hire(personnel: httpx.AsyncClient, make_client: Callable[..., httpx.AsyncClient]) -> Callable[..., Any]:
    """Hire a person and get their `user_id`, `employee_id` and `client` of budget: `await hire("budget:request")`."""
    departments: list[str] = []

    async def make(
        *permissions: str, user_id: UUID | None = None, makers: tuple[str, ...] = (), own: bool = False, **term: Any
    ) -> Person:
        if not departments:
            made = await personnel.post("/api/v1/departments", json={"code": "sales", "name": "Sales"})
            departments.append(made.json()["id"])
        user = user_id or uuid4()
        appointment = {"department_id": departments[0], "title": "Clerk", "starts_on": "2020-01-01", **term}
        person = {
            "number": str(user)[:30],
            "name": "Jo Kim",
            "email": "jo@example.com",
            "user_id": str(user),
            "appointment": appointment,
        }
        hired = await personnel.post("/api/v1/employees", json=person)
        assert hired.status_code == 201, hired.text
        client = make_client(*permissions, user_id=user, makers=makers, own_password=own)
        return Person(user_id=str(user), employee_id=hired.json()["id"], record=hired.json(), client=client)

    return make


@pytest.fixture
def make_fiscal_year(client: httpx.AsyncClient) -> Make:
    """A fiscal year, the calendar year of 2026 unless given otherwise."""

    async def make(**given: Any) -> dict[str, Any]:
        wanted = {"name": "2026", "starts_on": "2026-01-01", "ends_on": "2026-12-31", **given}
        response = await client.post("/api/v1/fiscal-years", json=wanted)
        assert response.status_code == 201, response.text
        return response.json()

    return make


@pytest.fixture
def make_account(client: httpx.AsyncClient) -> Make:
    """An account: `await make_account("travel")`."""

    async def make(code: str = "travel") -> dict[str, Any]:
        response = await client.post("/api/v1/accounts", json={"code": code, "name": code.title()})
        assert response.status_code == 201, response.text
        return response.json()

    return make


@pytest.fixture
def make_allocation(client: httpx.AsyncClient, make_fiscal_year: Make, make_account: Make) -> Make:
    """An allocation of an account and a year of its own: `await make_allocation("1000.00")`."""

    async def make(amount: str = "1000.00") -> dict[str, Any]:
        year, account = await make_fiscal_year(), await make_account()
        wanted = {"fiscal_year_id": year["id"], "account_id": account["id"], "amount": amount}
        response = await client.post("/api/v1/allocations", json=wanted)
        assert response.status_code == 201, response.text
        return response.json()

    return make
