"""Service accounts: their tokens, and that only the right secret gets one."""

from typing import Any

import httpx
import jwt
import pytest

from libs.contracts import PLATFORM_TENANT_ID
from libs.service_kit.transactions import Sessions, transaction
from services.auth.service_accounts import service

SECRET = "a-long-and-random-secret-of-tests"


@pytest.fixture(autouse=True)
async def account(sessions: Sessions) -> None:
    async with transaction(sessions, PLATFORM_TENANT_ID) as session:
        await service.set_secret(session, "budget-service", SECRET)


async def ask(anonymous: httpx.AsyncClient, **given: Any) -> httpx.Response:
    credentials = {"client_id": "budget-service", "client_secret": SECRET, **given}
    return await anonymous.post("/api/v1/auth/token", json=credentials)


async def test_the_right_secret_gets_a_token_that_may_deliver_events_and_nothing_else(
    anonymous,
):
    response = await ask(anonymous)
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    assert set(response.json()) == {"access_token", "token_type", "expires_in"}
    token = response.json()["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["client_id"], claims["scope"]) == ("budget-service", "events:deliver")
    assert claims["tenant_id"] == str(PLATFORM_TENANT_ID)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/cloudevents-batch+json"}
    assert (await anonymous.post("/internal/events", content=b"[]", headers=headers)).json() == {"refusals": []}
    assert (
        await anonymous.get("/api/v1/users", headers={"authorization": headers["authorization"]})
    ).status_code == 403


@pytest.mark.parametrize(
    "given", [{"client_secret": "a wrong secret"}, {"client_id": "payroll-service"}, {"client_id": "budget"}]
)
async def test_anything_else_is_the_same_refusal(anonymous, given):
    response = await ask(anonymous, **given)
    assert (response.status_code, response.json()["type"]) == (401, "/problems/invalid-client")
    assert response.json()["detail"] == "The client id or the client secret is wrong."


@pytest.mark.parametrize(
    "given", [{"client_secret": ""}, {"client_secret": None}, {"client_id": "a\x00"}, {"grant_type": "password"}]
)
async def test_malformed_credentials_are_refused(anonymous, given):
    assert (await ask(anonymous, **given)).status_code == 422
