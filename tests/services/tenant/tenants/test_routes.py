"""Tenants over HTTP: what the platform's people can do, and what everybody else cannot."""

from uuid import UUID, uuid4

import httpx
import pytest

from libs.contracts import PLATFORM_TENANT_ID
from libs.contracts.tenant import TenantCreated, TenantRenamed

TENANTS = "/api/v1/tenants"


def problem_type(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["type"]


async def test_a_new_tenant_is_in_provisioning_by_every_service(platform, new_code):
    code = new_code()
    response = await platform.post(TENANTS, json={"code": code, "name": "  Nordlicht GmbH "})
    assert response.status_code == 201
    tenant = response.json()
    assert (tenant["code"], tenant["name"], tenant["status"], tenant["reason"]) == (
        code,
        "Nordlicht GmbH",
        "provisioning",
        None,
    )
    assert tenant["provisioning"] == [
        {"service": service, "status": "pending", "reason": None, "at": None, "exported_at": None}
        for service in ("auth", "budget", "personnel", "system")
    ]
    assert response.headers["location"] == f"{TENANTS}/{tenant['id']}"
    read = await platform.get(response.headers["location"])
    assert read.json() == tenant
    assert read.headers["etag"] == response.headers["etag"] == '"1"'


async def test_the_event_of_a_creation_belongs_to_the_new_tenant(platform, make_tenant, published, superuser):
    tenant = await make_tenant(name="Nordlicht GmbH")
    tenant_id = UUID(tenant["id"])
    events = await published(TenantCreated, tenant_id=tenant_id)
    assert events == [TenantCreated(tenant_id=tenant_id, code=tenant["code"], name="Nordlicht GmbH")]
    envelopes = await superuser.fetch(
        "select distinct envelope->>'tenantid' from outbox where tenant_id = $1", tenant_id
    )
    assert [row[0] for row in envelopes] == [tenant["id"]]
    owner = await superuser.fetchval("select tenant_id from tenants where id = $1", tenant_id)
    assert owner == PLATFORM_TENANT_ID


async def test_a_repeated_creation_is_answered_as_the_first(platform, new_code, published):
    request = {"json": {"code": new_code(), "name": "Once"}, "headers": {"Idempotency-Key": str(uuid4())}}
    first = await platform.post(TENANTS, **request)
    second = await platform.post(TENANTS, **request)
    assert second.status_code == 201
    assert second.json() == first.json()
    assert second.headers["idempotent-replayed"] == "true"
    assert len(await published(TenantCreated, tenant_id=UUID(first.json()["id"]))) == 1


async def test_a_code_is_given_once(platform, make_tenant):
    tenant = await make_tenant()
    response = await platform.post(TENANTS, json={"code": tenant["code"], "name": "Another"})
    assert problem_type(response) == (409, "/problems/tenant-code-taken")


async def test_the_code_of_the_platform_is_taken(platform):
    response = await platform.post(TENANTS, json={"code": "platform", "name": "Impostor"})
    assert problem_type(response) == (409, "/problems/tenant-code-taken")


@pytest.mark.parametrize(
    "body",
    [
        {"name": "No code"},
        {"code": "no-name"},
        {"code": "Upper", "name": "A"},
        {"code": "-edge", "name": "A"},
        {"code": "x" * 51, "name": "A"},
        {"code": "new\nline", "name": "A"},
        {"code": "line-end\n", "name": "A"},
        {"code": 7, "name": "A"},
        {"code": "blank", "name": "   "},
        {"code": "nul", "name": "A\x00B"},
        {"code": "long", "name": "x" * 201},
        {"code": "extra", "name": "A", "status": "active"},
        {"code": "extra", "name": "A", "id": str(PLATFORM_TENANT_ID)},
        [],
        None,
    ],
)
async def test_what_is_no_tenant_is_refused(platform, body):
    assert problem_type(await platform.post(TENANTS, json=body)) == (422, "/problems/invalid-input")


async def test_renaming_needs_the_current_version(platform, make_tenant, published):
    tenant = await make_tenant()
    url = f"{TENANTS}/{tenant['id']}"
    renamed = await platform.patch(url, json={"name": "Südlicht AG"}, headers={"If-Match": '"1"'})
    assert (renamed.status_code, renamed.headers["etag"]) == (200, '"2"')
    assert (renamed.json()["name"], renamed.json()["version"]) == ("Südlicht AG", 2)
    assert renamed.json()["updated_at"] > tenant["updated_at"]

    stale = await platform.patch(url, json={"name": "Westlicht"}, headers={"If-Match": '"1"'})
    assert problem_type(stale) == (412, "/problems/precondition-failed")
    unnamed = await platform.patch(url, json={"name": "Westlicht"})
    assert problem_type(unnamed) == (428, "/problems/precondition-required")

    tenant_id = UUID(tenant["id"])
    events = await published(TenantRenamed, tenant_id=tenant_id)
    assert events == [TenantRenamed(tenant_id=tenant_id, name="Südlicht AG")]


async def test_the_same_name_again_is_no_change(platform, make_tenant, published):
    tenant = await make_tenant(name="Same")
    answer = await platform.patch(f"{TENANTS}/{tenant['id']}", json={"name": "Same"}, headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()) == (200, tenant)
    assert await published(TenantRenamed, tenant_id=UUID(tenant["id"])) == []


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": None}, {"name": "A\x00"}, {"name": "A", "code": "other"}])
async def test_what_cannot_be_changed_is_refused(platform, make_tenant, read_tenant, body):
    tenant = await make_tenant()
    answer = await platform.patch(f"{TENANTS}/{tenant['id']}", json=body, headers={"If-Match": '"1"'})
    assert problem_type(answer) == (422, "/problems/invalid-input")
    assert await read_tenant(tenant["id"]) == tenant


async def test_an_unknown_tenant_is_not_found(platform):
    url = f"{TENANTS}/{uuid4()}"
    assert problem_type(await platform.get(url)) == (404, "/problems/tenant-not-found")
    answer = await platform.patch(url, json={"name": "A"}, headers={"If-Match": '"1"'})
    assert problem_type(answer) == (404, "/problems/tenant-not-found")
    assert problem_type(await platform.get(f"{TENANTS}/not-an-id")) == (422, "/problems/invalid-input")


async def test_the_list_shows_every_tenant_once_newest_first(platform, make_tenant):
    made = [(await make_tenant())["id"] for _ in range(5)]
    seen, cursor = [], None
    while len(seen) < 6:
        page = (await platform.get(TENANTS, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        assert len(page["items"]) == 2 or page["next_cursor"] is None
        seen += page["items"]
        if cursor is None:
            await make_tenant()  # while somebody reads on
        if (cursor := page["next_cursor"]) is None:
            break
    assert [tenant["id"] for tenant in seen][:5] == made[::-1]
    assert all(len(tenant["provisioning"]) == 4 for tenant in seen)


async def test_a_made_up_cursor_is_refused(platform):
    assert problem_type(await platform.get(TENANTS, params={"cursor": "made-up"})) == (400, "/problems/bad-cursor")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", TENANTS), ("GET", TENANTS), ("GET", f"{TENANTS}/1"), ("PATCH", f"{TENANTS}/1")]
)
async def test_only_the_platform_may_come_near(make_client, anonymous, make_tenant, read_tenant, method, path):
    tenant = await make_tenant()
    path = path.replace("/1", f"/{tenant['id']}")
    request = {"json": {"code": "mine", "name": "Mine"} if method == "POST" else {"name": "Mine"}}
    request = {} if method == "GET" else request | {"headers": {"If-Match": "*"}}

    assert problem_type(await anonymous.request(method, path, **request)) == (401, "/problems/unauthorized")
    ordinary = await make_client(tenant_id=UUID(tenant["id"])).request(method, path, **request)
    assert problem_type(ordinary) == (403, "/problems/forbidden")
    # No role of a tenant can hold these permissions; a token that did would still be refused.
    ambitious = make_client("tenants:read", "tenants:write", tenant_id=UUID(tenant["id"]))
    assert problem_type(await ambitious.request(method, path, **request)) == (403, "/problems/platform-only")
    assert await read_tenant(tenant["id"]) == tenant


async def test_reading_and_writing_are_two_permissions(make_client, new_code):
    reader = make_client("tenants:read", tenant_id=PLATFORM_TENANT_ID)
    writer = make_client("tenants:write", tenant_id=PLATFORM_TENANT_ID)
    refused = await reader.post(TENANTS, json={"code": new_code(), "name": "A"})
    assert problem_type(refused) == (403, "/problems/forbidden")
    assert problem_type(await writer.get(TENANTS)) == (403, "/problems/forbidden")
    assert (await reader.get(TENANTS)).status_code == 200
    assert (await writer.post(TENANTS, json={"code": new_code(), "name": "A"})).status_code == 201
