"""No tenant gets more active users than its plan permits, however many are created at once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest

from libs.contracts.tenant import TenantPlanChanged
from libs.service_kit import plans
from tests.services.auth.conftest import PASSWORD

USERS = "/api/v1/users"
LIMIT = (409, "/problems/plan-limit-reached")


@pytest.fixture
def permit(tenant_session: Callable[..., Any], tenant: UUID) -> Callable[..., Awaitable[None]]:
    """Let auth hear how many users this test's tenant may have."""

    async def hear(users: int | None, number: int) -> None:
        changed = TenantPlanChanged(tenant_id=tenant, plan="small", users=users, employees=None, number=number)
        async with tenant_session() as session:
            await plans.on_plan_changed(session, changed)

    return hear


async def add(client: httpx.AsyncClient, number: int) -> httpx.Response:
    wanted = {"email": f"u{number}@example.com", "name": "Ada", "password": PASSWORD}
    return await client.post(USERS, json=wanted)


def slug(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json().get("type", "")


async def test_of_users_created_at_once_as_many_fit_as_the_plan_permits(client, permit, superuser, tenant):
    await permit(4, number=1)  # one of them is who creates the others
    answers = [slug(each) for each in await asyncio.gather(*(add(client, number) for number in range(6)))]
    assert sorted(answers) == [(201, "")] * 3 + [LIMIT] * 3
    assert await superuser.fetchval("select count(*) from users where tenant_id = $1", tenant) == 4
    await permit(9, number=0)  # a late event of before
    assert slug(await add(client, 7)) == LIMIT
    await permit(None, number=2)
    assert slug(await add(client, 7)) == (201, "")


async def test_who_is_switched_off_makes_room_and_needs_room_to_come_back(client, permit):
    await permit(2, number=1)
    first = (await add(client, 1)).json()
    path, headers = f"{USERS}/{first['id']}", {"if-match": "*"}
    await client.patch(path, json={"is_active": False}, headers=headers)
    assert slug(await add(client, 2)) == (201, "")
    assert slug(await client.patch(path, json={"is_active": True}, headers=headers)) == LIMIT
    assert (await client.patch(path, json={"name": "Renamed"}, headers=headers)).status_code == 200
