"""Bootstrap: what must exist before anybody can log in, made once and safe to repeat."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from pydantic import SecretStr

from libs.contracts import PLATFORM_TENANT_ID
from libs.services import account_secret
from services.auth.bootstrap import bootstrap
from services.auth.commands import CannotRun
from services.auth.settings import BootstrapSettings

PASSWORD = "a platform of our own"
SECRET = "the-secret-of-five-services"


@pytest.fixture
def run(settings_of: Callable[..., Any]) -> Callable[..., Any]:
    """Bootstrap with these values; the lines it says."""

    async def run(**given: Any) -> list[str]:
        said: list[str] = []
        values = {"admin_password": PASSWORD, "service_secret": SECRET, **given}
        await bootstrap(settings_of("auth", bootstrap=BootstrapSettings(**values)), said.append)
        return said

    return run


@pytest.fixture
def email() -> str:
    return f"admin-{uuid4().hex}@platform.example"


async def log_in(anonymous: httpx.AsyncClient, email: str, password: str = PASSWORD) -> httpx.Response:
    wanted = {"tenant": "platform", "email": email, "password": password}
    return await anonymous.post("/api/v1/auth/login", json=wanted)


async def test_the_administrator_of_the_platform_can_log_in(run, anonymous, email):
    assert (await run(admin_email=email))[-1] == f"administrator {email}: created"
    token = (await log_in(anonymous, email)).json()["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["tenant_id"] == str(PLATFORM_TENANT_ID)
    assert claims["scope"].split() == [
        "audit:read",
        "roles:read",
        "roles:write",
        "tenants:read",
        "tenants:write",
        "users:read",
        "users:write",
    ]


async def test_a_database_that_does_not_answer_is_named_by_its_variable(settings_of):
    settings = settings_of(
        "auth", bootstrap=BootstrapSettings(admin_email="a@b.example", admin_password=PASSWORD, service_secret=SECRET)
    )
    away = settings.database.model_copy(update={"url": SecretStr("postgresql+asyncpg://auth_app@127.0.0.1:1/auth")})
    with pytest.raises(CannotRun, match="DATABASE__URL: the database cannot be used: "):
        await bootstrap(settings.model_copy(update={"database": away}))


async def test_again_changes_nothing(run, anonymous, email):
    await run(admin_email=email)
    assert await run(admin_email=email) == [f"administrator {email}: exists"]
    assert (await log_in(anonymous, email)).status_code == 200


async def test_another_password_is_taken_and_ends_the_sessions_of_the_one_before(run, anonymous, email):
    await run(admin_email=email)
    token = (await log_in(anonymous, email)).json()["refresh_token"]
    for password in ("another good one", "and yet another one"):
        said = await run(admin_email=email, admin_password=password)
        assert said == [f"administrator {email}: given the new password"]
        assert (await log_in(anonymous, email, password)).status_code == 200
    assert (await log_in(anonymous, email)).status_code == 401
    assert (await anonymous.post("/api/v1/auth/refresh", json={"refresh_token": token})).status_code == 401


async def test_a_password_that_somebody_has_chosen_since_stays(run, anonymous, email):
    await run(admin_email=email)
    headers = {"authorization": f"Bearer {(await log_in(anonymous, email)).json()['access_token']}"}
    wanted = {"current_password": PASSWORD, "new_password": "chosen by a person"}
    assert (await anonymous.post("/api/v1/passwords", json=wanted, headers=headers)).status_code == 200
    said = await run(admin_email=email, admin_password="another good one")
    assert said == [f"administrator {email}: exists, and keeps the password that somebody has chosen since"]
    assert (await log_in(anonymous, email, "another good one")).status_code == 401
    assert (await log_in(anonymous, email, "chosen by a person")).status_code == 200


async def test_another_administrator_ends_the_password_of_the_one_before_until_they_are_named_again(
    run, anonymous, email
):
    await run(admin_email=email)
    token = (await log_in(anonymous, email)).json()["refresh_token"]
    said = await run(admin_email=f"next-{email}")
    assert said[-1] == f"administrator {email}: the password of the bootstrap before works no longer"
    assert [(await log_in(anonymous, each)).status_code for each in (email, f"next-{email}")] == [401, 200]
    assert (await anonymous.post("/api/v1/auth/refresh", json={"refresh_token": token})).status_code == 401
    assert len(await run(admin_email=f"next-{email}")) == 1
    await run(admin_email=email)
    assert (await log_in(anonymous, email)).status_code == 200


async def test_another_service_secret_is_taken(run, anonymous, email):
    async def statuses(secret: str) -> set[int]:
        names = [f"{name}-service" for name in ("auth", "tenant", "system", "budget", "personnel")]
        asked = [{"client_id": name, "client_secret": account_secret(secret, name)} for name in names]
        return {(await anonymous.post("/api/v1/auth/token", json=each)).status_code for each in asked}

    await run(admin_email=email)
    assert await statuses(SECRET) == {200}
    said = await run(admin_email=email, service_secret="another-long-secret")
    assert sum("given its secret" in line for line in said) == 5
    assert (await statuses(SECRET), await statuses("another-long-secret")) == ({401}, {200})


async def test_a_secret_is_one_services_only(run, anonymous, email):
    await run(admin_email=email)
    for secret in (SECRET, account_secret(SECRET, "auth-service")):
        asked = {"client_id": "budget-service", "client_secret": secret}
        assert (await anonymous.post("/api/v1/auth/token", json=asked)).status_code == 401


async def test_two_at_once_do_not_meet(run, superuser, email):
    await asyncio.gather(run(admin_email=email), run(admin_email=email))
    count = "select count(*) from {} where tenant_id = $1"
    assert await superuser.fetchval(count.format("service_accounts"), PLATFORM_TENANT_ID) == 5
    assert await superuser.fetchval("select count(*) from users where email = $1", email) == 1


async def test_what_is_missing_or_weak_is_named(run):
    with pytest.raises(CannotRun, match=r"^BOOTSTRAP__ADMIN_EMAIL, BOOTSTRAP__SERVICE_SECRET: not set$"):
        await run(service_secret=None)
    with pytest.raises(CannotRun, match=r"^BOOTSTRAP__ADMIN_PASSWORD: "):
        await run(admin_email="new@platform.example", admin_password="administrator")
