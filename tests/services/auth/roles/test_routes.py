"""Roles: the built-in ones stay, own ones hold no more than their maker's permissions."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from libs.contracts.auth import RoleCreated, RoleUpdated
from libs.contracts.permissions import TENANT_PERMISSIONS
from tests.services.auth.conftest import listed

MakeClient = Callable[..., httpx.AsyncClient]
MakeRole = Callable[..., Awaitable[dict[str, Any]]]


def slug(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["type"]


@pytest.fixture
def make_role(client: httpx.AsyncClient) -> MakeRole:
    async def make(name: str = "auditor", permissions: tuple[str, ...] = ("audit:read",)) -> dict[str, Any]:
        response = await client.post("/api/v1/roles", json={"name": name, "permissions": permissions})
        assert response.status_code == 201, response.text
        return response.json()

    return make


async def change(client: httpx.AsyncClient, role: dict[str, Any], *permissions: str, etag: str = "*") -> httpx.Response:
    path, wanted = f"/api/v1/roles/{role['id']}", {"permissions": permissions}
    return await client.patch(path, json=wanted, headers={"if-match": etag})


async def test_a_new_tenant_has_its_built_in_roles(client, tenant):
    roles = (await client.get("/api/v1/roles")).json()["items"]
    by_name = {role["name"]: role["permissions"] for role in roles if role["is_builtin"]}
    assert by_name == {
        "administrator": sorted(TENANT_PERMISSIONS),
        "manager": ["budget:approve", "budget:read", "budget:request", "personnel:read"],
        "member": ["budget:read", "budget:request"],
    }


async def test_built_in_roles_stay_as_they_are(client, tenant):
    for role in await listed(client, "/api/v1/roles"):
        assert slug(await change(client, role, "budget:read")) == (409, "/problems/builtin-role")


async def test_a_role_is_created_read_and_changed(client, make_role, published):
    role = await make_role("auditor", ("budget:read", "audit:read", "audit:read"))
    assert (role["permissions"], role["is_builtin"]) == (["audit:read", "budget:read"], False)
    path = f"/api/v1/roles/{role['id']}"
    assert (await client.get(path)).headers["etag"] == '"1"'
    response = await change(client, role, "audit:read", etag='"1"')
    assert (response.json()["permissions"], response.headers["etag"]) == (["audit:read"], '"2"')
    assert slug(await change(client, role, etag='"1"')) == (412, "/problems/precondition-failed")
    missing = await client.patch(path, json={"permissions": []})
    assert slug(missing) == (428, "/problems/precondition-required")
    assert [event.permissions for event in await published(RoleCreated)] == [["audit:read", "budget:read"]]
    assert [event.permissions for event in await published(RoleUpdated)] == [["audit:read"]]


async def test_a_role_holds_no_more_than_its_makers_permissions(make_client, make_role):
    clerk = make_client("roles:write", "budget:read")
    wanted = {"name": "approver", "permissions": ["budget:read", "budget:approve"]}
    response = await clerk.post("/api/v1/roles", json=wanted)
    assert (slug(response), response.json()["missing"]) == ((403, "/problems/cannot-grant"), ["budget:approve"])
    role = await make_role("auditor", ("budget:read",))
    assert slug(await change(clerk, role, "budget:read", "users:write")) == (403, "/problems/cannot-grant")
    assert (await change(clerk, role)).status_code == 200


async def test_nobody_changes_a_role_of_somebody_who_may_do_more(make_client, make_role, make_user, client):
    clerk = make_client("roles:write", "budget:read")
    strong = await make_role("auditor", ("audit:read", "budget:read"))
    response = await change(clerk, strong, "budget:read")
    assert (slug(response), response.json()["missing"]) == ((403, "/problems/outranked"), ["audit:read"])
    weak = await make_role("reader", ("budget:read",))
    await make_user("small@example.com", roles=["reader"])
    assert (await change(clerk, weak, "budget:read")).status_code == 200
    await make_user("great@example.com", roles=["reader", "auditor"])
    response = await change(clerk, weak)
    assert (slug(response), response.json()["missing"]) == ((403, "/problems/outranked"), ["audit:read"])
    assert (await client.get(f"/api/v1/roles/{weak['id']}")).json()["permissions"] == ["budget:read"]


@pytest.mark.parametrize("permission", ["tenants:write", "events:deliver", "no-such:thing", "made:up"])
async def test_no_administrator_can_give_what_no_tenant_has(client, permission):
    response = await client.post("/api/v1/roles", json={"name": "emperor", "permissions": [permission]})
    assert response.status_code == (422 if "-" in permission else 403)


@pytest.mark.parametrize(
    "given",
    [{"name": ""}, {"name": "a\x00"}, {"permissions": "audit:read"}, {"permissions": [1]}, {"is_builtin": True}],
)
async def test_a_malformed_role_is_refused(client, given):
    response = await client.post("/api/v1/roles", json={"name": "auditor", "permissions": [], **given})
    assert slug(response) == (422, "/problems/invalid-input")
    assert await listed(client, "/api/v1/roles") == []


async def test_a_name_is_taken_within_the_tenant_only(client, make_client, make_role):
    await make_role()
    wanted = {"name": "auditor", "permissions": []}
    assert slug(await client.post("/api/v1/roles", json=wanted)) == (409, "/problems/role-name-taken")
    assert (await make_client(tenant_id=uuid4()).post("/api/v1/roles", json=wanted)).status_code == 201


async def test_another_tenants_role_does_not_exist(make_client, make_role):
    role = await make_role()
    stranger = make_client(tenant_id=uuid4())
    assert slug(await stranger.get(f"/api/v1/roles/{role['id']}")) == (404, "/problems/role-not-found")
    assert slug(await change(stranger, role)) == (404, "/problems/role-not-found")
    assert await listed(stranger, "/api/v1/roles") == []


async def test_each_route_wants_its_permission(make_client, make_role):
    role = await make_role()
    reader, writer = make_client("roles:read"), make_client("roles:write")
    assert slug(await change(reader, role)) == (403, "/problems/forbidden")
    assert slug(await reader.post("/api/v1/roles", json={"name": "x", "permissions": []})) == (
        403,
        "/problems/forbidden",
    )
    for path in ("/api/v1/roles", f"/api/v1/roles/{role['id']}"):
        assert slug(await writer.get(path)) == (403, "/problems/forbidden")
