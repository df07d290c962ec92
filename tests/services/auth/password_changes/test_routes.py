"""Password changes: who may set whose password, what it takes, and that every session ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prometheus_client import REGISTRY

from libs.contracts.auth import UserPasswordChanged, UserPasswordReset
from tests.services.auth.conftest import PASSWORD

LogIn = Callable[..., Awaitable[httpx.Response]]
NEXT = "seven purple otters"
PATH = "/api/v1/passwords"
INVALID_TOKEN = (401, "/problems/invalid-reset-token")


def slug(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["type"]


@pytest.fixture
async def ada(make_user: Callable[..., Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    return await make_user()


@pytest.fixture
def change(anonymous: httpx.AsyncClient) -> Callable[..., Awaitable[httpx.Response]]:
    """Change the password of whoever the tokens are of."""

    async def post(tokens: httpx.Response, current: str = PASSWORD, new: str = NEXT) -> httpx.Response:
        headers = {"authorization": f"Bearer {tokens.json()['access_token']}"}
        wanted = {"current_password": current, "new_password": new}
        return await anonymous.post(PATH, json=wanted, headers=headers)

    return post


@pytest.fixture
def use(anonymous: httpx.AsyncClient) -> Callable[..., Awaitable[httpx.Response]]:
    """Set a password with a one-time token."""

    async def post(token: str, new: str = NEXT) -> httpx.Response:
        return await anonymous.post(f"{PATH}/resets/use", json={"token": token, "new_password": new})

    return post


async def reset(client: httpx.AsyncClient, user: dict[str, Any]) -> httpx.Response:
    return await client.post(f"{PATH}/resets", json={"user_id": user["id"]})


def counted() -> list[float]:
    """How many passwords their owners have changed, how many were set with a token, and how many were reset."""
    changes = [REGISTRY.get_sample_value("auth_password_changes_total", {"how": how}) for how in ("owner", "reset")]
    return [*changes, REGISTRY.get_sample_value("auth_password_resets_total")]


async def refreshed(anonymous: httpx.AsyncClient, tokens: httpx.Response) -> int:
    used = {"refresh_token": tokens.json()["refresh_token"]}
    return (await anonymous.post("/api/v1/auth/refresh", json=used)).status_code


async def test_a_changed_password_ends_every_session_and_begins_one(ada, log_in, change, anonymous, published):
    (owner, *others), one, other = counted(), await log_in(), await log_in()
    changed = await change(one)
    assert (changed.status_code, changed.headers["cache-control"]) == (200, "no-store")
    assert [await refreshed(anonymous, each) for each in (one, other, changed)] == [401, 401, 200]
    assert [(await log_in(password=each)).status_code for each in (PASSWORD, NEXT)] == [401, 200]
    events = [(event.user_id, event.by) for event in await published(UserPasswordChanged)]
    assert events == [(UUID(ada["id"]), "owner")]
    assert counted() == [owner + 1, *others]


async def test_the_current_password_is_needed_and_its_guesses_are_counted(ada, log_in, change, prolong):
    tokens = await log_in()
    wrong = (403, "/problems/wrong-password")
    assert [slug(await change(tokens, "a wrong password")) for _ in range(11)] == [wrong] * 11
    await prolong()
    assert slug(await change(tokens)) == (429, "/problems/too-many-guesses")
    assert slug(await log_in()) == (429, "/problems/too-many-guesses")


@pytest.mark.parametrize("new", ["Password1234", "abababababab", "{code}"])
async def test_a_new_password_is_no_weak_one(ada, log_in, change, client, use, code, new):
    weak = (422, "/problems/weak-password")
    assert slug(await change(await log_in(), new=new.format(code=code))) == weak
    token = (await reset(client, ada)).json()["token"]
    assert slug(await use(token, new.format(code=code))) == weak
    assert (await use(token)).status_code == 204


async def test_who_is_switched_off_and_who_is_no_user_changes_no_password(ada, log_in, change, client, make_token):
    tokens = await log_in()
    await client.patch(f"/api/v1/users/{ada['id']}", json={"is_active": False}, headers={"if-match": "*"})
    assert slug(await change(tokens)) == (403, "/problems/forbidden")


async def test_of_two_changes_at_once_one_is_made(ada, log_in, change):
    tokens = await log_in()
    answers = await asyncio.gather(*(change(tokens, new=f"{NEXT} {number}") for number in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 403, 403, 403]


async def test_a_reset_ends_password_and_sessions_at_once_and_its_token_works_once(
    ada, log_in, client, anonymous, use, published, superuser
):
    (owner, used, resets), tokens = counted(), await log_in()
    response = await reset(client, ada)
    assert (response.status_code, response.headers["cache-control"]) == (201, "no-store")
    token = response.json()["token"]
    assert await refreshed(anonymous, tokens) == 401
    assert (await log_in()).status_code == 401
    stored = await superuser.fetchrow("select * from password_resets where user_id = $1", UUID(ada["id"]))
    assert not [value for value in stored.values() if token.partition(".")[2] in str(value)]

    assert counted() == [owner, used, resets + 1]
    assert (await use(token)).status_code == 204
    assert slug(await use(token, "another good one")) == INVALID_TOKEN
    assert [(await log_in(password=each)).status_code for each in (PASSWORD, NEXT)] == [401, 200]
    assert [event.user_id for event in await published(UserPasswordReset)] == [UUID(ada["id"])]
    assert [event.by for event in await published(UserPasswordChanged)] == ["reset"]
    assert counted() == [owner, used + 1, resets + 1]


async def test_of_two_uses_at_once_one_counts(ada, client, use):
    token = (await reset(client, ada)).json()["token"]
    answers = await asyncio.gather(*(use(token, f"{NEXT} {number}") for number in range(4)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 204 and set(statuses[1:]) <= {401, 429}  # the third wrong one may have to wait


async def test_a_further_reset_replaces_the_token_and_a_changed_password_removes_it(ada, client, use, superuser):
    first, second = [(await reset(client, ada)).json()["token"] for _ in range(2)]
    assert slug(await use(first)) == INVALID_TOKEN
    assert (await use(second)).status_code == 204
    assert await superuser.fetchval("select count(*) from password_resets where user_id = $1", UUID(ada["id"])) == 0


async def test_a_token_ends_after_a_day_and_with_its_user(ada, client, use, superuser):
    token = (await reset(client, ada)).json()["token"]
    path, old = f"/api/v1/users/{ada['id']}", "update password_resets set expires_at = expires_at - interval '1 day'"
    await client.patch(path, json={"is_active": False}, headers={"if-match": "*"})
    assert slug(await use(token)) == INVALID_TOKEN
    await client.patch(path, json={"is_active": True}, headers={"if-match": "*"})
    await superuser.execute(old)
    assert slug(await use(token)) == INVALID_TOKEN


@pytest.mark.parametrize("token", ["x", "x.y", ".", "{tenant}.made-up", "é.ü"])
async def test_a_made_up_token_is_refused_and_counted(ada, tenant, use, superuser, token):
    assert slug(await use(token.format(tenant=tenant.hex))) == INVALID_TOKEN
    assert await superuser.fetchval("select failures from guesses where account = ''") == 1


async def test_a_reset_ends_the_waiting_after_wrong_guesses(ada, log_in, client, use, prolong):
    for _ in range(11):
        await log_in(password="a wrong password")
    await prolong()
    assert (await log_in()).status_code == 429
    assert (await use((await reset(client, ada)).json()["token"])).status_code == 204
    assert (await log_in(password=NEXT)).status_code == 200


async def test_nobody_resets_whom_they_may_not_change(ada, client, make_client, make_user, log_in, user_id):
    boss = await make_user("boss@example.com", roles=["administrator"])
    clerk = make_client("users:write", "budget:read", "budget:request")
    assert slug(await reset(clerk, boss)) == (403, "/problems/outranked")
    assert (await log_in("boss@example.com")).status_code == 200
    assert (await reset(clerk, ada)).status_code == 201
    assert slug(await reset(client, {"id": str(user_id)})) == (409, "/problems/own-password")
    assert slug(await reset(client, {"id": str(uuid4())})) == (404, "/problems/user-not-found")
    assert slug(await reset(make_client("users:read"), ada)) == (403, "/problems/forbidden")
    stranger = make_client(tenant_id=uuid4())
    assert slug(await reset(stranger, ada)) == (404, "/problems/user-not-found")
