"""The people and the money of the stories about expenditures."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

EXPENDITURES = "/api/v1/expenditures"


@pytest.fixture
async def member(hire: Callable[..., Any]) -> Any:
    """An employee who may request."""
    return await hire("budget:request", "budget:read")


@pytest.fixture
async def manager(hire: Callable[..., Any]) -> Any:
    """An employee who may approve."""
    return await hire("budget:approve", "budget:request", "budget:read", "personnel:read")


@pytest.fixture
async def allocation(make_allocation: Callable[..., Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """A thousand to spend."""
    return await make_allocation("1000.00")


@pytest.fixture
def make_request(member: Any, allocation: dict[str, Any]) -> Callable[..., Awaitable[dict[str, Any]]]:
    """A request of the member: `await make_request("10.00")`."""

    async def make(amount: str = "100.00", person: Any = member) -> dict[str, Any]:
        wanted = {"allocation_id": allocation["id"], "amount": amount, "purpose": "A trip"}
        response = await person.client.post(EXPENDITURES, json=wanted)
        assert response.status_code == 201, response.text
        return response.json()

    return make


@pytest.fixture
def approve() -> Callable[..., Any]:
    """Approve a request: `await approve(manager, requested)`."""

    async def call(person: Any, requested: dict[str, Any], if_match: str | None = None) -> Any:
        headers = {"if-match": if_match or f'"{requested["version"]}"'}
        return await person.client.post(f"{EXPENDITURES}/{requested['id']}/approve", headers=headers)

    return call
