"""The auth service under test. It trusts the key of the tests' tokens, as it would its own key of before."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from libs.contracts.permissions import TENANT_PERMISSIONS
from libs.contracts.tenant import TenantActivated, TenantCreated
from libs.service_kit.transactions import Sessions, transaction
from services.auth import passwords
from services.auth.keys.service import signing_key as own_key
from services.auth.roles.models import Role
from services.auth.tenants.consumers import on_tenant_activated, on_tenant_created
from services.auth.users.models import User
from tests.fixtures.auth import trust
from tests.services.commits import World

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
        await own_key(session)  # the service's own, which stays the one it signs with
    await trust(superuser, signing_key)


@pytest.fixture(autouse=True)
async def nothing_is_counted(superuser: asyncpg.Connection) -> None:
    """Guesses that tests before have made from the one address of all tests."""
    await superuser.execute("delete from guesses")


async def add_actor(sessions: Sessions, tenant_id: UUID, user_id: UUID, permissions: tuple[str, ...]) -> None:
    """A user with a role of exactly these permissions, neither of which anybody has told of."""
    async with transaction(sessions, tenant_id) as session:
        role = Role(tenant_id=tenant_id, name=f"actor {user_id}", permissions=sorted(permissions))
        user = User(tenant_id=tenant_id, id=user_id, email=f"{user_id}@actors.example", name="An actor", roles=[role])
        user.password_hash = passwords.NOBODYS_HASH
        session.add(user)


@pytest.fixture
def make_client(
    make_client: Callable[..., httpx.AsyncClient], sessions: Sessions, tenant_id: UUID, user_id: UUID
) -> Callable[..., httpx.AsyncClient]:
    """As that of all services; whoever asks has a row with the permissions of their token, as after a login."""
    known: set[tuple[UUID, UUID]] = set()
    one_at_a_time = asyncio.Lock()

    def make(*permissions: str, tenant_id: UUID = tenant_id, user_id: UUID | None = None) -> httpx.AsyncClient:
        who = (tenant_id, user_id or uuid4())

        async def add(_: httpx.Request) -> None:
            async with one_at_a_time:
                if who not in known:
                    known.add(who)
                    await add_actor(sessions, *who, permissions or tuple(TENANT_PERMISSIONS))

        client = make_client(*permissions, tenant_id=tenant_id, user_id=who[1])
        client.event_hooks["request"].append(add)
        return client

    return make


@pytest.fixture
def client(make_client: Callable[..., httpx.AsyncClient], user_id: UUID) -> httpx.AsyncClient:
    """A client of this test's user, with all permissions that a tenant can have."""
    return make_client(user_id=user_id)


@pytest.fixture
async def world(world: World) -> World:
    """As that of all services; its actor has a row."""
    await add_actor(world.sessions, world.actor.tenant_id, world.actor.id, tuple(TENANT_PERMISSIONS))
    return world


async def listed(client: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    """What a tenant has, apart from the actors of its tests."""
    items = (await client.get(path)).json()["items"]
    return [each for each in items if not each["name"].startswith(("actor ", "An actor"))]


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


@pytest.fixture
def prolong(superuser: asyncpg.Connection) -> Callable[[], Awaitable[None]]:
    """Let everybody wait a minute longer for an account, however slow this machine is."""

    async def wait_longer() -> None:
        await superuser.execute("update guesses set last_at = last_at + interval '1 minute' where account <> ''")

    return wait_longer
