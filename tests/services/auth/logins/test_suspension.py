"""While a tenant is stopped nobody logs in or stays logged in, and afterwards every session goes on."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest

from libs.contracts.tenant import TenantResumed, TenantSuspended
from libs.service_kit import standing

NOT_ACTIVE = (403, "/problems/tenant-not-active")


@pytest.fixture
def suspend(tenant_session: Callable[..., Any], tenant: UUID) -> Callable[..., Awaitable[None]]:
    """Let auth hear that this test's tenant is suspended, or with False that it is resumed."""

    async def hear(now: bool = True) -> None:
        async with tenant_session() as session:
            if now:
                await standing.on_suspended(session, TenantSuspended(tenant_id=tenant, reason="unpaid", number=1))
            else:
                await standing.on_resumed(session, TenantResumed(tenant_id=tenant, number=2))

    return hear


async def post(anonymous: httpx.AsyncClient, verb: str, token: str) -> tuple[int, str]:
    response = await anonymous.post(f"/api/v1/auth/{verb}", json={"refresh_token": token})
    return response.status_code, (response.json()["type"] if response.status_code >= 400 else "")


async def test_nobody_logs_in_and_only_the_right_password_learns_why(make_user, log_in, suspend):
    await make_user()
    await suspend()
    right, wrong = await log_in(), await log_in(password="another password")
    assert (right.status_code, right.json()["type"]) == NOT_ACTIVE
    assert (wrong.status_code, wrong.json()["type"]) == (401, "/problems/invalid-credentials")
    await suspend(False)
    assert (await log_in()).status_code == 200


async def test_a_refresh_is_refused_and_its_token_works_again_afterwards(make_user, log_in, anonymous, suspend):
    await make_user()
    token = (await log_in()).json()["refresh_token"]
    await suspend()
    assert [await post(anonymous, "refresh", token) for _ in range(2)] == [NOT_ACTIVE] * 2
    await suspend(False)
    assert await post(anonymous, "refresh", token) == (200, "")


async def test_no_password_is_set_by_a_reset_whose_token_works_again_afterwards(make_user, client, anonymous, suspend):
    user = await make_user()
    token = (await client.post("/api/v1/passwords/resets", json={"user_id": user["id"]})).json()["token"]
    wanted = {"token": token, "new_password": "seven purple otters"}
    await suspend()
    refused = await anonymous.post("/api/v1/passwords/resets/use", json=wanted)
    assert (refused.status_code, refused.json()["type"]) == NOT_ACTIVE
    await suspend(False)
    assert (await anonymous.post("/api/v1/passwords/resets/use", json=wanted)).status_code == 204


async def test_who_is_logged_in_can_still_log_out(make_user, log_in, anonymous, suspend):
    await make_user()
    token = (await log_in()).json()["refresh_token"]
    await suspend()
    assert await post(anonymous, "logout", token) == (204, "")
    await suspend(False)
    assert await post(anonymous, "refresh", token) == (401, "/problems/invalid-refresh-token")
