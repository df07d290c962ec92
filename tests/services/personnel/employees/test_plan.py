"""No tenant employs more people than its plan permits; who has left makes room, and needs room to come back."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import pytest

from libs.contracts.tenant import TenantPlanChanged
from libs.service_kit import plans

EMPLOYEES = "/api/v1/employees"
LIMIT = (409, "/problems/plan-limit-reached")


@pytest.fixture
async def limited(tenant_session: Callable[..., Any], tenant_id: UUID) -> None:
    """This test's tenant may employ two people."""
    changed = TenantPlanChanged(tenant_id=tenant_id, plan="small", users=None, employees=2, number=1)
    async with tenant_session() as session:
        await plans.on_plan_changed(session, changed)


async def post(client: httpx.AsyncClient, path: str, **wanted: Any) -> tuple[int, str]:
    answer = await client.post(f"{EMPLOYEES}{path}", json=wanted, headers={"if-match": "*"})
    return answer.status_code, answer.json().get("type", "")


async def test_a_full_plan_refuses_a_hire_and_a_return_until_somebody_leaves(
    client, limited, make_employee, make_department
):
    first, _ = [await make_employee(number) for number in ("E-1", "E-2")]
    term = {"department_id": (await make_department("new"))["id"], "title": "Clerk", "starts_on": "2199-01-01"}
    person = {"number": "E-3", "name": "Jo Kim", "email": "jo@example.com", "appointment": term}
    assert await post(client, "", **person) == LIMIT
    await post(client, f"/{first['id']}/leave", ends_on="2021-12-31")
    assert await post(client, "", **person) == (201, "")
    assert await post(client, f"/{first['id']}/appointments", **term) == LIMIT


async def test_a_further_appointment_of_somebody_who_is_employed_needs_no_room(client, limited, make_employee):
    first, _ = [await make_employee(number) for number in ("E-1", "E-2")]
    await post(client, f"/{first['id']}/leave", ends_on="2190-12-31")
    department_id = first["appointments"][0]["department_id"]
    further = {"department_id": department_id, "title": "Lead", "starts_on": "2191-01-01"}
    assert await post(client, f"/{first['id']}/appointments", **further) == (201, "")
