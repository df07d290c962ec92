"""The auth service under test. It trusts the key of the tests' tokens, as it would its own key of before."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from libs.contracts.tenant import TenantActivated, TenantCreated
from libs.service_kit.transactions import transaction
from services.auth.keys.service import newest_key
from services.auth.tenants.consumers import on_tenant_activated, on_tenant_created
from tests.fixtures.auth import KID

PASSWORD = "correct battery staple"
Make = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture(scope="session")
def service_name() -> str:
    return "auth"


@pytest.fixture(scope="module", autouse=True)
async def trusted_key(
    superuser: asyncpg.Connection, signing_key: ec.EllipticCurvePrivateKey, app_state: dict[str, Any]
) -> None:
    async with transaction(app_state["sessions"]) as session:
        await newest_key(session)  # the service's own, which stays the one it signs with
    pem = signing_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    await superuser.execute(
        "insert into signing_keys (kid, private_key, created_at) values ($1, $2, '2000-01-01') on conflict do nothing",
        KID,
        pem,
    )


@pytest.fixture
def code(tenant_id: UUID) -> str:
    """The code of this test's tenant."""
    return f"t-{tenant_id.hex}"


@pytest.fixture
async def tenant(tenant_session: Callable[..., Any], tenant_id: UUID, code: str) -> UUID:
    """This test's tenant, active."""
    async with tenant_session() as session:
        await on_tenant_created(session, TenantCreated(tenant_id=tenant_id, code=code, name="A tenant"))
        await on_tenant_activated(session, TenantActivated(tenant_id=tenant_id))
    return tenant_id


@pytest.fixture
def make_user(client: httpx.AsyncClient, tenant: UUID) -> Make:
    """A user of this test's tenant, with `PASSWORD`: `await make_user("ada@example.com", roles=["member"])`."""

    async def make(email: str = "ada@example.com", **given: Any) -> dict[str, Any]:
        wanted = {"email": email, "name": "Ada Park", "password": PASSWORD, "roles": ["member"], **given}
        response = await client.post("/api/v1/users", json=wanted)
        assert response.status_code == 201, response.text
        return response.json()

    return make


@pytest.fixture
def log_in(anonymous: httpx.AsyncClient, code: str) -> Callable[..., Awaitable[httpx.Response]]:
    """The answer to a login into this test's tenant."""

    async def post(email: str = "ada@example.com", password: str = PASSWORD, **given: Any) -> httpx.Response:
        wanted = {"tenant": code, "email": email, "password": password, **given}
        return await anonymous.post("/api/v1/auth/login", json=wanted)

    return post
