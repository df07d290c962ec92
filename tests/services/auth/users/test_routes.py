"""Users: who may create whom, what a change does, and that nobody else's users are seen."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from libs.contracts.auth import UserCreated, UserUpdated
from services.auth import passwords
from tests.services.auth.conftest import listed

Make = Callable[..., Awaitable[dict[str, Any]]]
MakeClient = Callable[..., httpx.AsyncClient]
WANTED = {"email": "ada@example.com", "name": "Ada Park", "password": "correct battery staple"}


async def change(client: httpx.AsyncClient, user: dict[str, Any], etag: str = "*", **given: Any) -> httpx.Response:
    return await client.patch(f"/api/v1/users/{user['id']}", json=given, headers={"if-match": etag})


def slug(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["type"]


async def test_a_user_is_created_and_read(client, tenant, published):
    wanted = {**WANTED, "email": "Ada@Example.com", "roles": ["member", "manager"]}
    response = await client.post("/api/v1/users", json=wanted)
    assert response.status_code == 201
    user = response.json()
    assert (user["email"], user["roles"], user["is_active"]) == ("ada@example.com", ["manager", "member"], True)
    assert "password" not in response.text and "argon2" not in response.text
    assert response.headers["location"] == f"/api/v1/users/{user['id']}"
    found = await client.get(response.headers["location"])
    assert (found.json(), found.headers["etag"]) == (user, response.headers["etag"])
    events = await published(UserCreated)
    assert [(event.user_id, event.roles) for event in events] == [(UUID(user["id"]), ["manager", "member"])]


async def test_a_lost_answer_is_replayed(client, tenant):
    post = {"url": "/api/v1/users", "headers": {"idempotency-key": "one"}}
    first = await client.post(**post, json=WANTED)
    second = await client.post(**post, json=WANTED)
    assert (second.status_code, second.json()) == (201, first.json())
    assert second.headers["idempotent-replayed"] == "true"
    for other in ({"name": "Bo"}, {"password": "another battery staple"}):
        assert slug(await client.post(**post, json=WANTED | other)) == (422, "/problems/idempotency-key-reused")
    assert len(await listed(client, "/api/v1/users")) == 1


async def test_a_lost_answer_is_replayed_although_no_password_can_be_hashed_now(client, tenant, monkeypatch):
    post = {"url": "/api/v1/users", "headers": {"idempotency-key": "one"}, "json": WANTED}
    first = await client.post(**post)
    monkeypatch.setattr(passwords, "WAITING_LIMIT", 0)
    assert slug(await client.post("/api/v1/users", json=WANTED)) == (429, "/problems/password-checks-busy")
    second = await client.post(**post)
    assert (second.status_code, second.json()) == (201, first.json())


async def test_an_email_is_taken_within_the_tenant_only(client, make_client, make_user):
    await make_user()
    assert slug(await client.post("/api/v1/users", json={**WANTED, "email": "ADA@example.com"})) == (
        409,
        "/problems/email-taken",
    )
    elsewhere = await make_client(tenant_id=uuid4()).post("/api/v1/users", json=WANTED)
    assert elsewhere.status_code == 201


async def test_nobody_gives_away_a_permission_they_do_not_have(make_client, make_user, client):
    clerk = make_client("users:write", "budget:read", "budget:request")
    response = await clerk.post("/api/v1/users", json={**WANTED, "roles": ["manager"]})
    assert slug(response) == (403, "/problems/cannot-grant")
    assert response.json()["missing"] == ["budget:approve", "personnel:read"]
    user = (await clerk.post("/api/v1/users", json={**WANTED, "roles": ["member"]})).json()
    assert slug(await change(clerk, user, roles=["administrator"])) == (403, "/problems/cannot-grant")
    assert (await client.get(f"/api/v1/users/{user['id']}")).json()["roles"] == ["member"]


@pytest.mark.parametrize("given", [{"roles": []}, {"is_active": False}, {"name": "Bo Lee"}, {"is_active": True}])
@pytest.mark.parametrize("is_active", [True, False])
async def test_nobody_touches_who_may_do_more_than_they_do(make_client, make_user, client, is_active, given):
    clerk = make_client("users:write", "budget:read", "budget:request")
    manager, member = [await make_user(f"{role}@example.com", roles=[role]) for role in ("manager", "member")]
    for user in (manager, member):
        await change(client, user, is_active=is_active)
    before = (await client.get(f"/api/v1/users/{manager['id']}")).json()
    response = await change(clerk, manager, **given)
    assert (slug(response), response.json()["missing"]) == (
        (403, "/problems/outranked"),
        ["budget:approve", "personnel:read"],
    )
    assert (await client.get(f"/api/v1/users/{manager['id']}")).json() == before
    assert (await change(clerk, member, **given)).status_code == 200


@pytest.mark.parametrize("taken", [{"is_active": False}, {"roles": ["member"]}])
async def test_who_has_lost_power_gives_and_takes_none_with_their_old_token(
    make_user, log_in, client, anonymous, taken
):
    boss, former = [await make_user(f"{name}@example.com", roles=["administrator"]) for name in ("boss", "former")]
    role = (await client.post("/api/v1/roles", json={"name": "clerk", "permissions": []})).json()
    anonymous.headers["authorization"] = f"Bearer {(await log_in('former@example.com')).json()['access_token']}"
    assert (await change(client, former, **taken)).status_code == 200
    old = anonymous
    change_role = old.patch(f"/api/v1/roles/{role['id']}", json={"permissions": []}, headers={"if-match": "*"})
    answers = [
        await old.post("/api/v1/users", json={**WANTED, "roles": ["administrator"]}),
        await old.post("/api/v1/users", json=WANTED),
        await change(old, former, is_active=True, roles=["administrator"]),
        await change(old, boss, is_active=False),
        await old.post("/api/v1/roles", json={"name": "emperor", "permissions": ["users:write"]}),
        await change_role,
    ]
    assert [slug(answer) for answer in answers] == [(403, "/problems/forbidden")] * 6


async def test_who_is_switched_off_meanwhile_has_changed_nothing(make_user, log_in, client, anonymous, superuser):
    """Both changes are asked for at once, each by whom the other one switches off: one of them is too late."""
    users = [await make_user(f"{name}@example.com", roles=["administrator"]) for name in ("one", "two")]
    tokens = [(await log_in(user["email"])).json()["access_token"] for user in users]

    async def switch_off(user: dict[str, Any], token: str) -> int:
        headers = {"if-match": "*", "authorization": f"Bearer {token}"}
        path = f"/api/v1/users/{user['id']}"
        return (await anonymous.patch(path, json={"is_active": False}, headers=headers)).status_code

    answers = await asyncio.gather(switch_off(users[0], tokens[1]), switch_off(users[1], tokens[0]))
    assert sorted(answers) == [200, 403]


async def test_a_role_that_is_none_is_refused(client, make_user):
    response = await client.post("/api/v1/users", json={**WANTED, "roles": ["member", "emperor"]})
    assert slug(response) == (422, "/problems/unknown-role")
    assert response.json()["unknown"] == ["emperor"]
    user = await make_user()
    assert slug(await change(client, user, roles=["emperor"])) == (422, "/problems/unknown-role")


@pytest.mark.parametrize(
    "given",
    [
        {"password": "too short"},
        {"password": "x" * 129},
        {"password": 123456789012},
        {"email": "no e-mail"},
        {"name": " "},
        {"name": "Ada\x00"},
        {"roles": "member"},
        {"is_active": True},
        {"tenant_id": str(uuid4())},
    ],
)
async def test_a_malformed_user_is_refused(client, tenant, given):
    assert slug(await client.post("/api/v1/users", json={**WANTED, **given})) == (422, "/problems/invalid-input")
    assert await listed(client, "/api/v1/users") == []


@pytest.mark.parametrize("password", ["Password1234", "abababababab", "grace-hopper1", "{code}", "{code}-grace-2026"])
async def test_a_password_that_is_easily_guessed_is_refused(client, tenant, code, password):
    wanted = {**WANTED, "email": "grace-hopper@example.com", "password": password.format(code=code)}
    expected = (422, "/problems/weak-password") if "2026" not in password else (201, None)
    response = await client.post("/api/v1/users", json=wanted)
    assert (response.status_code, response.json().get("type")) == expected


async def test_a_change_is_a_new_version(client, make_user, published):
    user = await make_user()
    response = await change(client, user, '"1"', name="Ada Lee")
    assert (response.json()["name"], response.headers["etag"]) == ("Ada Lee", '"2"')
    response = await change(client, user, '"2"', roles=["manager"])  # rows elsewhere, and yet a new version
    assert (response.json()["roles"], response.headers["etag"]) == (["manager"], '"3"')
    assert [event.roles for event in await published(UserUpdated)] == [["member"], ["manager"]]


async def test_a_change_names_the_version_it_changes(client, make_user):
    user = await make_user()
    path = f"/api/v1/users/{user['id']}"
    assert slug(await client.patch(path, json={"name": "Bo"})) == (428, "/problems/precondition-required")
    assert slug(await change(client, user, '"7"', name="Bo")) == (412, "/problems/precondition-failed")
    answers = await asyncio.gather(*(change(client, user, '"1"', roles=["manager"]) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 4


async def test_the_last_active_administrator_stays(client, make_user):
    one = await make_user("one@example.com", roles=["administrator", "member"])
    two = await make_user("two@example.com", roles=["administrator"])
    assert (await change(client, two, roles=["member"])).status_code == 200
    last = (409, "/problems/last-administrator")
    assert slug(await change(client, one, roles=["member"])) == last
    assert slug(await change(client, one, is_active=False)) == last
    assert (await change(client, one, roles=["administrator"])).status_code == 200
    assert (await client.get(f"/api/v1/users/{one['id']}")).json()["is_active"]


async def test_two_administrators_cannot_switch_each_other_off(client, make_user):
    both = [await make_user(f"{name}@example.com", roles=["administrator"]) for name in ("one", "two")]
    answers = await asyncio.gather(*(change(client, user, is_active=False) for user in both))
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_users_are_listed_by_pages(client, make_user, user_id):
    made = [(await make_user(f"user{n}@example.com"))["id"] for n in range(3)]
    first = (await client.get("/api/v1/users", params={"limit": 2})).json()
    second = (await client.get("/api/v1/users", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [user["id"] for user in first["items"] + second["items"]] == [*made[::-1], str(user_id)]
    assert second["next_cursor"] is None
    assert slug(await client.get("/api/v1/users", params={"cursor": "x"})) == (400, "/problems/bad-cursor")


async def test_another_tenants_user_does_not_exist(make_client, make_user):
    user = await make_user()
    stranger = make_client(tenant_id=uuid4())
    assert slug(await stranger.get(f"/api/v1/users/{user['id']}")) == (404, "/problems/user-not-found")
    assert slug(await change(stranger, user, name="Mine")) == (404, "/problems/user-not-found")
    assert await listed(stranger, "/api/v1/users") == []
    # Nor does the tenant's role.
    wanted = {**WANTED, "roles": ["member"]}
    assert slug(await stranger.post("/api/v1/users", json=wanted)) == (422, "/problems/unknown-role")


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("GET", "/api/v1/users", "users:read"),
        ("POST", "/api/v1/users", "users:write"),
        ("GET", f"/api/v1/users/{UUID(int=1)}", "users:read"),
        ("PATCH", f"/api/v1/users/{UUID(int=1)}", "users:write"),
    ],
)
async def test_each_route_wants_its_permission(anonymous, make_client, method, path, permission):
    request = {"json": WANTED if method == "POST" else {}, "headers": {"if-match": "*"}} if method != "GET" else {}
    assert (await anonymous.request(method, path, **request)).status_code == 401
    response = await make_client("budget:read").request(method, path, **request)
    assert (response.status_code, response.json()["missing"]) == (403, [permission])


async def test_a_password_is_hashed_while_no_connection_is_held(client, tenant, app_state, monkeypatch):
    from services.auth import passwords

    held: list[int] = []
    hash_it = passwords.HASHER.hash

    class Watched:
        def hash(self, password: str) -> str:
            held.append(app_state["engine"].pool.checkedout())
            return hash_it(password)

    monkeypatch.setattr(passwords, "HASHER", Watched())
    response = await client.post("/api/v1/users", json=WANTED, headers={"idempotency-key": "two"})
    assert (response.status_code, held) == (201, [0])


async def test_the_stored_hash_is_argon2id_with_our_parameters(make_user, superuser):
    user = await make_user()
    stored = await superuser.fetchval("select password_hash from users where id = $1", UUID(user["id"]))
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
