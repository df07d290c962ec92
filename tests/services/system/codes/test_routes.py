"""Codes over HTTP: unique in their group, changed in view of their version, read by everybody in the tenant."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client import REGISTRY

from libs.contracts.system import CodeCreated, CodeGroupCreated, CodeGroupUpdated, CodeUpdated

GROUPS, CODES = "/api/v1/code-groups", "/api/v1/codes"


async def add(client: httpx.AsyncClient, path: str, code: str, **given: str) -> httpx.Response:
    return await client.post(path, json={"code": code, "name": code.title(), **given})


@pytest.fixture
async def group(client: httpx.AsyncClient) -> dict[str, Any]:
    """A code group."""
    return (await add(client, GROUPS, "units")).json()


def changes() -> float:
    return REGISTRY.get_sample_value("system_changes_total", {"what": "codes"})


async def test_groups_and_codes_are_made_found_and_changed(client, make_client, published):
    before = changes()
    made = await add(client, GROUPS, "units")
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    code = await add(client, CODES, "kg", code_group_id=made.json()["id"])
    assert (code.status_code, code.json()["is_active"]) == (201, True)
    reader = make_client("budget:read")
    for answer in (made, code):
        assert (await reader.get(answer.headers["location"])).json() == answer.json()
    assert (await reader.get(GROUPS)).json()["items"] == [made.json()]
    assert (await reader.get(CODES, params={"code_group_id": made.json()["id"]})).json()["items"] == [code.json()]
    assert (await reader.get(CODES, params={"code_group_id": str(uuid4())})).json()["items"] == []
    first = {"if-match": '"1"'}
    renamed = await client.patch(made.headers["location"], json={"name": "Units"}, headers=first)
    assert (renamed.status_code, renamed.headers["etag"]) == (200, '"1"')  # it has this name already
    renamed = await client.patch(made.headers["location"], json={"name": "Measures"}, headers=first)
    retired = await client.patch(code.headers["location"], json={"is_active": False}, headers=first)
    assert (renamed.json()["name"], retired.json()["is_active"], retired.json()["name"]) == ("Measures", False, "Kg")
    for answer in (made, code):
        stale = await client.patch(answer.headers["location"], json={"name": "Late"}, headers=first)
        assert stale.status_code == 412
    counts = [len(await published(each)) for each in (CodeGroupCreated, CodeGroupUpdated, CodeCreated, CodeUpdated)]
    assert (counts, changes()) == ([1, 1, 1, 1], before + 4)


async def test_a_code_stands_once_in_its_group(client, group):
    other = (await add(client, GROUPS, "colours")).json()
    twice = [await add(client, CODES, "kg", code_group_id=group["id"]) for _ in range(2)]
    elsewhere = await add(client, CODES, "kg", code_group_id=other["id"])
    assert (twice[1].status_code, twice[1].json()["type"]) == (409, "/problems/code-taken")
    assert elsewhere.status_code == 201
    assert (await add(client, GROUPS, "units")).json()["type"] == "/problems/code-group-taken"


async def test_a_group_of_another_tenant_is_unknown(client, make_client, group):
    stranger = make_client(tenant_id=uuid4())
    refused = await add(stranger, CODES, "kg", code_group_id=group["id"])
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/unknown-code-group")
    assert (await stranger.get(f"{GROUPS}/{group['id']}")).status_code == 404


async def test_writing_needs_the_permission(make_client, group):
    reader = make_client("budget:read")
    assert (await add(reader, GROUPS, "more")).status_code == 403
    assert (await add(reader, CODES, "kg", code_group_id=group["id"])).status_code == 403
