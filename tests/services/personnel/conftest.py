"""The personnel service under test, and quick ways to what most of its tests begin with."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

Make = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture(scope="session")
def service_name() -> str:
    return "personnel"


@pytest.fixture
def make_department(client: httpx.AsyncClient) -> Make:
    """A department: `await make_department("sales", parent_id=above["id"])`."""

    async def make(code: str = "sales", **given: Any) -> dict[str, Any]:
        response = await client.post("/api/v1/departments", json={"code": code, "name": code.title(), **given})
        assert response.status_code == 201, response.text
        return response.json()

    return make


@pytest.fixture
def make_employee(client: httpx.AsyncClient, make_department: Make) -> Make:
    """An employee; each without a department given works in one of their own."""

    async def make(number: str = "E-1", *, appointment: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
        term = {"title": "Clerk", "starts_on": "2020-01-01", **(appointment or {})}
        if "department_id" not in term:
            term["department_id"] = (await make_department(f"dept-{number.lower()}"))["id"]
        person = {"number": number, "name": "Jo Kim", "email": "jo@example.com", "appointment": term, **given}
        response = await client.post("/api/v1/employees", json=person)
        assert response.status_code == 201, response.text
        return response.json()

    return make
