"""A token says who has made its user or reset their password, and whether the user has chosen it since."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest

from libs.contracts import PLATFORM_TENANT_ID
from libs.service_kit.auth import MOST_MAKERS
from tests.services.auth.conftest import PASSWORD

CHOSEN = "seven purple otters"
Someone = tuple[str, dict[str, str]]


def said(tokens: httpx.Response) -> tuple[list[str], bool]:
    """The makers, and whether the password is the user's own."""
    claims = jwt.decode(tokens.json()["access_token"], options={"verify_signature": False})
    return claims["makers"], claims["own_password"]


@pytest.fixture
def enter(anonymous: httpx.AsyncClient, log_in: Callable[..., Any]) -> Callable[..., Awaitable[Someone]]:
    """Log in: the id of the user, and the headers of their requests."""

    async def by_name(name: str) -> Someone:
        token = (await log_in(f"{name}@example.com")).json()["access_token"]
        claims = jwt.decode(token, options={"verify_signature": False})
        return claims["sub"], {"authorization": f"Bearer {token}"}

    return by_name


@pytest.fixture
def make(anonymous: httpx.AsyncClient, enter: Callable[..., Awaitable[Someone]]) -> Callable[..., Awaitable[Someone]]:
    """Let somebody make a further administrator, who logs in."""

    async def by(maker: Someone, name: str) -> Someone:
        wanted = {"email": f"{name}@example.com", "name": name, "password": PASSWORD, "roles": ["administrator"]}
        made = await anonymous.post("/api/v1/users", json=wanted, headers=maker[1])
        assert made.status_code == 201, made.text
        return await enter(name)

    return by


@pytest.fixture
def reset(anonymous: httpx.AsyncClient) -> Callable[..., Awaitable[None]]:
    """Let somebody reset a password."""

    async def by(resetter: Someone, whose: Someone) -> None:
        asked = await anonymous.post("/api/v1/passwords/resets", json={"user_id": whose[0]}, headers=resetter[1])
        assert asked.status_code == 201, asked.text
        chosen = {"token": asked.json()["token"], "new_password": PASSWORD}
        assert (await anonymous.post("/api/v1/passwords/resets/use", json=chosen)).status_code == 204

    return by


async def test_it_names_who_created_the_user_and_whoever_created_those(make_user, enter, make, log_in, user_id):
    await make_user(roles=["administrator"])
    ada = await enter("ada")
    ben = await make(ada, "ben")
    await make(ben, "eva")
    assert said(await log_in("ada@example.com")) == ([str(user_id)], False)
    assert said(await log_in("eva@example.com")) == ([ben[0], ada[0], str(user_id)], False)


async def test_a_tenants_first_administrator_has_the_makers_of_their_maker(make_client, tenant, log_in, superuser):
    maker, first = uuid4(), uuid4()
    platform = make_client("tenants:write", tenant_id=PLATFORM_TENANT_ID, user_id=maker)
    await platform.get("/api/v1/users")  # adds the row
    await superuser.execute("update users set makers = array[$2::uuid] where id = $1", maker, first)
    wanted = {"email": "ada@example.com", "name": "Ada Park", "password": PASSWORD}
    assert (await platform.post(f"/api/v1/tenants/{tenant}/admins", json=wanted)).status_code == 201
    assert said(await log_in()) == ([str(maker), str(first)], False)


async def test_it_names_who_reset_the_password_and_forgets_no_maker_of_theirs(
    make_user, enter, make, reset, log_in, user_id
):
    """Even if whoever is reset has made the resetter."""
    await make_user(roles=["administrator"])
    ada = await enter("ada")
    ben = await make(ada, "ben")
    eva = await make(ben, "eva")
    await reset(eva, ben)
    assert said(await log_in("ben@example.com"))[0] == [eva[0], ada[0], str(user_id)]
    await reset(ada, eva)
    assert said(await log_in("eva@example.com"))[0] == [ada[0], str(user_id)]


async def test_a_password_is_ones_own_once_one_has_chosen_it_by_the_current_one_or_a_one_time_token(
    make_user, make, enter, reset, log_in, anonymous
):
    await make_user(roles=["administrator"])
    ada = await enter("ada")
    _, headers = await make(ada, "ben")
    change = {"current_password": PASSWORD, "new_password": CHOSEN}
    changed = await anonymous.post("/api/v1/passwords", json=change, headers=headers)
    assert (said(changed)[1], said(await log_in("ben@example.com", CHOSEN))[1]) == (True, True)
    eva = await make(ada, "eva")
    await reset(ada, eva)
    assert said(await log_in("eva@example.com"))[1] is True


async def test_a_line_of_makers_is_told_up_to_a_length(make_user, enter, make, log_in, superuser):
    await make_user(roles=["administrator"])
    ada = await enter("ada")
    many = [uuid4() for _ in range(MOST_MAKERS)]
    await superuser.execute("update users set makers = $1 where id = $2", many, ada[0])
    await make(ada, "ben")
    assert said(await log_in("ben@example.com"))[0] == [ada[0], *map(str, many[:-1])]
