"""Logging in, staying logged in, logging out: what is given, what is refused, and what others can learn from it."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest
from argon2 import PasswordHasher
from prometheus_client import REGISTRY

from libs.contracts.auth import UserLoggedIn, UserLoggedOut, UserSessionsRevoked
from libs.contracts.tenant import TenantClosed, TenantCreated
from services.auth import passwords
from services.auth.tenants.consumers import on_tenant_closed, on_tenant_created
from tests.fixtures.waiting import until_somebody_waits

LogIn = Callable[..., Awaitable[httpx.Response]]
Make = Callable[..., Awaitable[dict[str, Any]]]


async def refresh(anonymous: httpx.AsyncClient, token: str) -> httpx.Response:
    return await anonymous.post("/api/v1/auth/refresh", json={"refresh_token": token})


def slug(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["type"]


REFUSED = (401, "/problems/invalid-credentials")
OVER = (401, "/problems/invalid-refresh-token")


async def test_a_login_gives_a_token_with_the_permissions_of_the_users_roles(make_user, log_in, tenant, published):
    user = await make_user()
    response = await log_in("ADA@example.com")
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    tokens = response.json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert (claims["sub"], claims["tenant_id"]) == (user["id"], str(tenant))
    assert claims["scope"] == "budget:read budget:request"
    assert claims["exp"] - claims["iat"] == 900
    assert "client_id" not in claims
    assert [event.user_id for event in await published(UserLoggedIn)] == [UUID(user["id"])]


async def test_the_token_of_a_login_is_accepted(make_user, log_in, anonymous):
    user = await make_user(roles=["administrator"])
    token = (await log_in()).json()["access_token"]
    path = f"/api/v1/users/{user['id']}"
    response = await anonymous.get(path, headers={"authorization": f"Bearer {token}"})
    assert (response.status_code, response.json()["email"]) == (200, "ada@example.com")


async def test_whatever_is_wrong_the_answer_is_the_same(make_user, log_in, client):
    await make_user()
    gone = await make_user("gone@example.com")
    await client.patch(f"/api/v1/users/{gone['id']}", json={"is_active": False}, headers={"if-match": "*"})
    answers = [
        await log_in(password="a wrong password"),
        await log_in("nobody@example.com"),
        await log_in(tenant="no-such-tenant"),
        await log_in("gone@example.com"),
    ]
    for response in answers:
        assert slug(response) == REFUSED
    bodies = [{**response.json(), "trace_id": None} for response in answers]
    assert all(body == bodies[0] for body in bodies)


async def test_whatever_is_wrong_a_password_is_checked(log_in, monkeypatch):
    checked: list[str] = []
    verify = PasswordHasher.verify

    def counted(self: PasswordHasher, password_hash: str, password: str) -> bool:
        checked.append(password_hash)
        return verify(self, password_hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    await log_in("nobody@example.com")
    await log_in(tenant="no-such-tenant")
    assert checked == [passwords.NOBODYS_HASH] * 2
    assert not passwords.needs_rehash(passwords.NOBODYS_HASH)


async def test_a_tenant_that_is_not_active_is_named_only_after_the_right_password(
    make_user, log_in, tenant_session, tenant
):
    await make_user()
    async with tenant_session() as session:
        await on_tenant_closed(session, TenantClosed(tenant_id=tenant, reason="it left"))
    assert slug(await log_in()) == (403, "/problems/tenant-not-active")
    assert slug(await log_in(password="a wrong password")) == REFUSED


async def test_a_hash_of_weaker_parameters_is_replaced_at_login(make_user, log_in, superuser):
    user = await make_user()
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash("correct battery staple")
    await superuser.execute("update users set password_hash = $1 where id = $2", weak, UUID(user["id"]))
    assert (await log_in()).status_code == 200
    stored = await superuser.fetchval("select password_hash from users where id = $1", UUID(user["id"]))
    assert not passwords.needs_rehash(stored)
    assert (await log_in()).status_code == 200


@pytest.mark.parametrize(
    "given",
    [
        {"tenant": "UPPER"},
        {"tenant": 1},
        {"email": "no-at-sign"},
        {"email": "ada\x00@example.com"},
        {"password": ""},
        {"password": "x" * 129},
        {"password": None},
        {"remember_me": True},
    ],
)
async def test_a_malformed_login_is_refused_without_its_values(log_in, given):
    response = await log_in(**{"password": "a secret nobody echoes", **given})
    assert slug(response) == (422, "/problems/invalid-input")
    assert "a secret nobody echoes" not in response.text


async def test_a_lone_surrogate_is_refused(anonymous, code):
    body = json.dumps({"tenant": code, "email": "a@b.example", "password": "\ud800 and more text"})
    response = await anonymous.post(
        "/api/v1/auth/login", content=body.encode(), headers={"content-type": "application/json"}
    )
    assert slug(response) == (422, "/problems/invalid-input")


async def test_too_many_waiting_logins_are_told_to_come_back(log_in, monkeypatch):
    refused = REGISTRY.get_sample_value("password_hashes_refused_total")
    monkeypatch.setattr(passwords, "WAITING_LIMIT", 0)
    response = await log_in()
    assert slug(response) == (429, "/problems/password-checks-busy")
    assert response.headers["retry-after"] == "1"
    assert REGISTRY.get_sample_value("password_hashes_refused_total") == refused + 1


async def test_no_more_hashes_run_at_a_time_than_the_process_has_processors():
    found = "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); from services.auth import passwords as made"
    shown = subprocess.run(
        [sys.executable, "-c", f"import os; {found}; print(made.AT_ONCE, made.WAITING_LIMIT)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout.split() == ["1", "50"]


async def test_hashing_and_waiting_for_it_are_timed():
    def now() -> list[float]:
        of = {"operation": "hash"}, {"operation": "verify"}
        durations = [REGISTRY.get_sample_value("password_hash_seconds_count", labels) or 0 for labels in of]
        return [*durations, REGISTRY.get_sample_value("password_hash_wait_seconds_count") or 0]

    before = now()
    await passwords.verify("a password", await passwords.hash_password("a password"))
    assert [after - old for after, old in zip(now(), before, strict=True)] == [1, 1, 2]
    assert REGISTRY.get_sample_value("password_hashes_waiting") == 0


async def test_logins_are_counted_and_timed_whatever_comes_of_them(make_user, log_in):
    def now() -> tuple[float, ...]:
        names = [("auth_login_total", {"status": status}) for status in ("success", "failure")]
        return tuple(REGISTRY.get_sample_value(*each) or 0 for each in [*names, ("auth_login_duration_count", {})])

    await make_user()
    success, failure, timed = now()
    await log_in()
    await log_in(password="a wrong password")
    assert now() == (success + 1, failure + 1, timed + 2)


async def test_the_metrics_have_the_names_that_dashboards_use(anonymous):
    page = (await anonymous.get("/metrics")).text
    assert "# HELP auth_login_total Total number of login attempts" in page
    assert "# HELP auth_login_duration Login duration in seconds" in page
    for line in (
        'auth_login_total{status="success"}',
        'auth_login_total{status="failure"}',
        *(f'auth_login_duration_bucket{{le="{edge}"}}' for edge in ("0.1", "0.5", "1.0", "2.0", "5.0", "+Inf")),
        "auth_sessions_revoked_total",
    ):
        assert f"\n{line} " in page


async def test_a_refresh_token_gives_new_tokens_once(make_user, log_in, anonymous, published):
    user = await make_user()
    first = (await log_in()).json()["refresh_token"]
    response = await refresh(anonymous, first)
    assert response.status_code == 200
    second = response.json()["refresh_token"]
    assert second != first

    assert slug(await refresh(anonymous, first)) == OVER
    # The session is over for whoever holds the other token, too.
    assert slug(await refresh(anonymous, second)) == OVER
    revoked = await published(UserSessionsRevoked)
    assert [(event.user_id, event.reason) for event in revoked] == [(UUID(user["id"]), "refresh token reused")]


async def test_a_reused_token_ends_no_other_session(make_user, log_in, anonymous):
    await make_user()
    one, other = [(await log_in()).json()["refresh_token"] for _ in range(2)]
    await refresh(anonymous, one)
    assert slug(await refresh(anonymous, one)) == OVER
    assert (await refresh(anonymous, other)).status_code == 200


async def test_a_refresh_waits_for_whoever_ends_the_sessions_and_not_the_other_way_round(
    make_user, log_in, anonymous, superuser
):
    user_id = UUID((await make_user())["id"])
    token = (await log_in()).json()["refresh_token"]
    async with superuser.transaction():
        await superuser.execute("select from users where id = $1 for no key update", user_id)
        waiting = asyncio.create_task(refresh(anonymous, token))
        await until_somebody_waits(superuser)
        await superuser.execute("delete from sessions where user_id = $1", user_id)
    assert slug(await waiting) == OVER


async def test_of_many_equal_refreshes_one_wins(make_user, log_in, anonymous):
    await make_user()
    token = (await log_in()).json()["refresh_token"]
    answers = await asyncio.gather(*(refresh(anonymous, token) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7


async def test_a_refresh_carries_the_permissions_of_today(make_user, log_in, client, anonymous):
    user = await make_user()
    token = (await log_in()).json()["refresh_token"]
    changed = {"roles": ["manager"]}
    await client.patch(f"/api/v1/users/{user['id']}", json=changed, headers={"if-match": "*"})
    access = (await refresh(anonymous, token)).json()["access_token"]
    scope = jwt.decode(access, options={"verify_signature": False})["scope"]
    assert scope == "budget:approve budget:read budget:request personnel:read"


async def test_a_session_slides_and_ends_when_it_is_not_used(make_user, log_in, anonymous, superuser, tenant):
    await make_user()
    token = (await log_in()).json()["refresh_token"]
    await superuser.execute("update refresh_tokens set expires_at = now() + '1 day' where tenant_id = $1", tenant)
    await superuser.execute("update sessions set expires_at = now() + '1 day' where tenant_id = $1", tenant)
    token = (await refresh(anonymous, token)).json()["refresh_token"]
    left = "select expires_at > now() + '13 days' from sessions where tenant_id = $1"
    assert await superuser.fetchval(left, tenant)

    await superuser.execute(
        "update refresh_tokens set expires_at = now() - interval '1 s' where tenant_id = $1", tenant
    )
    await superuser.execute("update sessions set expires_at = now() - interval '1 s' where tenant_id = $1", tenant)
    assert slug(await refresh(anonymous, token)) == OVER
    await log_in()  # clears away what nobody can use any more
    assert await superuser.fetchval("select count(*) from sessions where tenant_id = $1", tenant) == 1
    assert await superuser.fetchval("select count(*) from refresh_tokens where tenant_id = $1", tenant) == 1


@pytest.mark.parametrize("token", ["x", "x.y", ".", "0" * 32 + ".made-up", "{tenant}.made-up", "\u0660" * 32, "é.ü"])
async def test_a_made_up_refresh_token_is_refused(anonymous, tenant, token):
    assert slug(await refresh(anonymous, token.format(tenant=tenant.hex))) == OVER


async def test_a_refresh_token_is_worth_nothing_under_another_tenant(make_user, log_in, anonymous, tenant_session):
    await make_user()
    token = (await log_in()).json()["refresh_token"]
    other = UUID(int=7)
    assert slug(await refresh(anonymous, f"{other.hex}.{token.partition('.')[2]}")) == OVER
    assert (await refresh(anonymous, token)).status_code == 200


async def test_no_token_is_stored(make_user, log_in, superuser, tenant):
    await make_user()
    token = (await log_in()).json()["refresh_token"]
    rows = await superuser.fetch("select * from refresh_tokens where tenant_id = $1", tenant)
    assert len(rows) == 1
    assert not [value for value in rows[0].values() if token.partition(".")[2] in str(value)]


async def test_a_logout_ends_the_session_and_can_be_repeated(make_user, log_in, anonymous, published):
    user = await make_user()
    token = (await log_in()).json()["refresh_token"]
    for _ in range(2):
        response = await anonymous.post("/api/v1/auth/logout", json={"refresh_token": token})
        assert (response.status_code, response.content) == (204, b"")
    assert slug(await refresh(anonymous, token)) == OVER
    assert [event.user_id for event in await published(UserLoggedOut)] == [UUID(user["id"])]
    assert await published(UserSessionsRevoked) == []


async def test_switching_a_user_off_ends_their_sessions(
    make_user,
    log_in,
    client,
    anonymous,
    published,
):
    user = await make_user()
    token = (await log_in()).json()["refresh_token"]
    path = f"/api/v1/users/{user['id']}"
    await client.patch(path, json={"is_active": False}, headers={"if-match": "*"})
    assert slug(await refresh(anonymous, token)) == OVER
    assert [event.reason for event in await published(UserSessionsRevoked)] == ["switched off"]
    await client.patch(path, json={"is_active": True}, headers={"if-match": "*"})
    assert slug(await refresh(anonymous, token)) == OVER
    assert (await log_in()).status_code == 200


async def test_nobody_logs_in_while_the_tenant_is_prepared(log_in, tenant_session, tenant_id, code, make_client):
    async with tenant_session() as session:
        await on_tenant_created(session, TenantCreated(tenant_id=tenant_id, code=code, name="A tenant"))
    wanted = {"email": "ada@example.com", "name": "Ada Park", "password": "correct battery staple"}
    created = await make_client().post("/api/v1/users", json=wanted)
    assert created.status_code == 201
    assert slug(await log_in()) == (403, "/problems/tenant-not-active")
