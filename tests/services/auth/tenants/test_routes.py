"""A tenant's administrators, created by the platform's people."""

from collections.abc import Callable
from uuid import uuid4

import httpx
import jwt
import pytest

from libs.contracts import PLATFORM_TENANT_ID
from libs.contracts.auth import UserCreated
from libs.contracts.permissions import TENANT_PERMISSIONS
from libs.contracts.tenant import TenantClosed
from services.auth.tenants.consumers import on_tenant_closed

WANTED = {"email": "ada@example.com", "name": "Ada Park", "password": "correct battery staple"}


@pytest.fixture
def platform(make_client: Callable[..., httpx.AsyncClient]) -> httpx.AsyncClient:
    """One of the platform's people."""
    return make_client("tenants:write", tenant_id=PLATFORM_TENANT_ID)


def slug(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["type"]


async def test_an_administrator_is_created_in_the_tenant_and_can_log_in(platform, tenant, log_in, published):
    response = await platform.post(f"/api/v1/tenants/{tenant}/admins", json=WANTED)
    assert (response.status_code, response.json()["roles"]) == (201, ["administrator"])
    assert response.headers["location"] == f"/api/v1/users/{response.json()['id']}"
    claims = jwt.decode((await log_in()).json()["access_token"], options={"verify_signature": False})
    assert claims["tenant_id"] == str(tenant)
    assert set(claims["scope"].split()) == set(TENANT_PERMISSIONS)
    assert len(await published(UserCreated)) == 1  # told as an event of the tenant, not of the platform


async def test_a_lost_answer_is_replayed(platform, tenant, superuser):
    path, headers = f"/api/v1/tenants/{tenant}/admins", {"idempotency-key": str(uuid4())}
    first = await platform.post(path, json=WANTED, headers=headers)
    second = await platform.post(path, json=WANTED, headers=headers)
    assert (second.status_code, second.json()) == (201, first.json())
    assert second.headers["idempotent-replayed"] == "true"
    assert await superuser.fetchval("select count(*) from users where tenant_id = $1", tenant) == 1
    assert slug(await platform.post(path, json=WANTED)) == (409, "/problems/email-taken")


async def test_only_the_platforms_people_may(make_client, tenant):
    path = f"/api/v1/tenants/{tenant}/admins"
    outsider = make_client("tenants:write")
    assert slug(await outsider.post(path, json=WANTED)) == (403, "/problems/platform-only")
    reader = make_client("tenants:read", tenant_id=PLATFORM_TENANT_ID)
    assert slug(await reader.post(path, json=WANTED)) == (403, "/problems/forbidden")


async def test_who_no_longer_runs_the_platform_makes_no_administrators(platform, tenant, superuser):
    path = f"/api/v1/tenants/{tenant}/admins"
    assert (await platform.post(path, json=WANTED)).status_code == 201
    await superuser.execute(
        "update users set is_active = false where tenant_id = $1 and name = 'An actor'", PLATFORM_TENANT_ID
    )
    assert slug(await platform.post(path, json={**WANTED, "email": "b@c.example"})) == (403, "/problems/forbidden")


async def test_an_unknown_or_closed_tenant_gets_none(platform, tenant, tenant_session):
    missing = (404, "/problems/tenant-not-found")
    assert slug(await platform.post(f"/api/v1/tenants/{uuid4()}/admins", json=WANTED)) == missing
    assert slug(await platform.post(f"/api/v1/tenants/{PLATFORM_TENANT_ID}/admins", json=WANTED)) == missing
    async with tenant_session() as session:
        await on_tenant_closed(session, TenantClosed(tenant_id=tenant, reason="it left"))
    assert slug(await platform.post(f"/api/v1/tenants/{tenant}/admins", json=WANTED)) == missing


@pytest.mark.parametrize("given", [{"password": "short"}, {"roles": ["member"]}, {"email": 1}, {"name": None}])
async def test_a_malformed_administrator_is_refused(platform, tenant, given):
    response = await platform.post(f"/api/v1/tenants/{tenant}/admins", json={**WANTED, **given})
    assert slug(response) == (422, "/problems/invalid-input")


async def test_a_password_like_the_tenants_code_is_refused(platform, tenant, code):
    response = await platform.post(f"/api/v1/tenants/{tenant}/admins", json={**WANTED, "password": f"{code}!"})
    assert slug(response) == (422, "/problems/weak-password")
