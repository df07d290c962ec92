"""Accounts over HTTP: opened, renamed, and kept apart by tenant."""

from uuid import uuid4

import pytest

from libs.contracts.budget import AccountOpened, AccountRenamed

ACCOUNTS = "/api/v1/accounts"


async def test_an_account_is_opened_and_found_again(client, published):
    opened = await client.post(ACCOUNTS, json={"code": "travel", "name": "Travel"})
    assert (opened.status_code, opened.headers["etag"]) == (201, '"1"')
    found = await client.get(opened.headers["location"])
    assert (found.status_code, found.headers["etag"], found.json()) == (200, '"1"', opened.json())
    assert (await client.get(ACCOUNTS)).json() == {"items": [opened.json()], "next_cursor": None}
    assert [event.code for event in await published(AccountOpened)] == ["travel"]


async def test_a_code_is_given_once_in_a_tenant(client, make_client, make_account):
    await make_account("travel")
    again = await client.post(ACCOUNTS, json={"code": "travel", "name": "Other"})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/account-code-taken")
    other = await make_client(tenant_id=uuid4()).post(ACCOUNTS, json={"code": "travel", "name": "Travel"})
    assert other.status_code == 201


async def test_an_account_is_renamed(client, make_account, published):
    path = f"{ACCOUNTS}/{(await make_account())['id']}"
    renamed = await client.patch(path, json={"name": "Trips"}, headers={"if-match": '"1"'})
    assert (renamed.status_code, renamed.headers["etag"], renamed.json()["name"]) == (200, '"2"', "Trips")
    assert [event.name for event in await published(AccountRenamed)] == ["Trips"]


async def test_a_renaming_must_name_the_version_that_it_changes(client, make_account, published):
    path = f"{ACCOUNTS}/{(await make_account())['id']}"
    assert (await client.patch(path, json={"name": "Trips"})).status_code == 428
    for stale in ('"7"', "1", 'W/"1"'):
        assert (await client.patch(path, json={"name": "Trips"}, headers={"if-match": stale})).status_code == 412
    assert await published(AccountRenamed) == []


async def test_another_tenants_account_does_not_exist(make_client, make_account):
    path = f"{ACCOUNTS}/{(await make_account())['id']}"
    other = make_client(tenant_id=uuid4())
    read = await other.get(path)
    changed = await other.patch(path, json={"name": "Mine"}, headers={"if-match": "*"})
    assert (read.status_code, changed.status_code) == (404, 404)
    assert read.json()["type"] == "/problems/account-not-found"


@pytest.mark.parametrize(
    "wrong", [{"code": "TRAVEL"}, {"code": "a b"}, {"code": ""}, {"name": ""}, {"name": None}, {"x": 1}]
)
async def test_wrong_input_is_refused_and_changes_nothing(client, wrong):
    refused = await client.post(ACCOUNTS, json={"code": "travel", "name": "Travel"} | wrong)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-input")
    assert (await client.get(ACCOUNTS)).json()["items"] == []
