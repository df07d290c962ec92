"""Departments over HTTP: created, read, renamed, and kept apart by tenant."""

import json
from uuid import uuid4

import pytest

from libs.contracts.personnel import DepartmentCreated, DepartmentUpdated

DEPARTMENTS = "/api/v1/departments"


async def test_a_department_is_created_and_found_again(client, published):
    created = await client.post(DEPARTMENTS, json={"code": "sales", "name": " Sales "})
    assert (created.status_code, created.headers["etag"]) == (201, '"1"')
    department = created.json()
    assert (department["code"], department["name"], department["parent_id"]) == ("sales", "Sales", None)
    found = await client.get(created.headers["location"])
    assert (found.status_code, found.headers["etag"], found.json()) == (200, '"1"', department)
    [event] = await published(DepartmentCreated)
    assert (str(event.department_id), event.code, event.parent_id) == (department["id"], "sales", None)


async def test_a_code_is_given_once_in_a_tenant(client, make_client, make_department):
    await make_department("sales")
    again = await client.post(DEPARTMENTS, json={"code": "sales", "name": "Other"})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/department-code-taken")
    other = await make_client(tenant_id=uuid4()).post(DEPARTMENTS, json={"code": "sales", "name": "Sales"})
    assert other.status_code == 201


async def test_an_unknown_parent_is_refused(client, published):
    wanted = {"code": "sales", "name": "Sales", "parent_id": str(uuid4())}
    refused = await client.post(DEPARTMENTS, json=wanted)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/unknown-parent")
    assert await published(DepartmentCreated) == []


async def test_a_parent_of_another_tenant_is_unknown(client, make_client, make_department):
    foreign = await make_department("sales")
    other = make_client(tenant_id=uuid4())
    refused = await other.post(DEPARTMENTS, json={"code": "north", "name": "North", "parent_id": foreign["id"]})
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/unknown-parent")
    assert (await other.get(DEPARTMENTS)).json()["items"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"code": "sales"},
        {"code": "Sales", "name": "Sales"},
        {"code": "sales", "name": ""},
        {"code": "sales", "name": "  "},
        {"code": "sales", "name": "nul\x00"},
        {"code": "sales", "name": "x" * 201},
        {"code": "sales", "name": 7},
        {"code": "sales", "name": "Sales", "parent_id": "root"},
        {"code": "sales", "name": "Sales", "tenant_id": str(uuid4())},
        [],
    ],
)
async def test_wrong_input_is_refused_and_changes_nothing(client, wrong):
    refused = await client.post(DEPARTMENTS, json=wrong)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-input")
    assert refused.headers["content-type"] == "application/problem+json"
    assert (await client.get(DEPARTMENTS)).json()["items"] == []


async def test_the_same_key_creates_once(client, published):
    wanted = {"code": "sales", "name": "Sales"}
    first = await client.post(DEPARTMENTS, json=wanted, headers={"idempotency-key": "k1"})
    again = await client.post(DEPARTMENTS, json=wanted, headers={"idempotency-key": "k1"})
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert len(await published(DepartmentCreated)) == 1


async def test_a_department_is_renamed(client, make_department, published):
    department = await make_department()
    path = f"{DEPARTMENTS}/{department['id']}"
    renamed = await client.patch(path, json={"name": "Trade"}, headers={"if-match": '"1"'})
    assert (renamed.status_code, renamed.headers["etag"], renamed.json()["name"]) == (200, '"2"', "Trade")
    assert [event.name for event in await published(DepartmentUpdated)] == ["Trade"]


async def test_a_change_to_the_same_is_no_change(client, make_department, published):
    department = await make_department()
    path = f"{DEPARTMENTS}/{department['id']}"
    same = await client.patch(path, json={"name": department["name"]}, headers={"if-match": '"1"'})
    assert (same.status_code, same.headers["etag"]) == (200, '"1"')
    assert await published(DepartmentUpdated) == []


async def test_an_update_must_name_the_version_that_it_changes(client, make_department):
    path = f"{DEPARTMENTS}/{(await make_department())['id']}"
    missing = await client.patch(path, json={"name": "Trade"})
    stale = await client.patch(path, json={"name": "Trade"}, headers={"if-match": '"7"'})
    assert (missing.status_code, stale.status_code) == (428, 412)
    assert (await client.get(path)).json()["name"] == "Sales"


async def test_another_tenants_department_does_not_exist(make_client, make_department):
    path = f"{DEPARTMENTS}/{(await make_department())['id']}"
    other = make_client(tenant_id=uuid4())
    read = await other.get(path)
    changed = await other.patch(path, json={"name": "Mine"}, headers={"if-match": "*"})
    assert (read.status_code, changed.status_code) == (404, 404)
    assert read.json()["type"] == "/problems/department-not-found"


async def test_the_list_pages_from_the_newest(client, make_department):
    for number in range(5):
        await make_department(f"d{number}")
    seen, cursor = [], ""
    while cursor is not None:
        page = (await client.get(DEPARTMENTS, params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        seen += [each["code"] for each in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ["d4", "d3", "d2", "d1", "d0"]


@pytest.mark.parametrize(
    ("permission", "method", "status"),
    [("personnel:read", "POST", 403), ("personnel:read", "GET", 200), ("personnel:write", "GET", 403)],
)
async def test_each_route_asks_for_its_permission(make_client, permission, method, status):
    response = await make_client(permission).request(
        method,
        DEPARTMENTS,
        content=json.dumps({"code": "a", "name": "A"}),
        headers={"content-type": "application/json"},
    )
    assert response.status_code == status


async def test_without_a_token_nothing_is_shown(anonymous):
    assert (await anonymous.get(DEPARTMENTS)).status_code == 401
