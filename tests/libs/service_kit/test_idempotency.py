"""A creating request that is sent again is answered again and creates nothing."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from libs.contracts.budget import AccountOpened
from libs.service_kit import database
from libs.service_kit.idempotency import Once, fingerprint_secret
from tests.fixtures.app import replica_of
from tests.libs.service_kit.probe.main import create_app

NOTES = "/api/v1/notes"
NOTE = {"code": "a", "text": "b", "amount": "3"}
KEY = {"idempotency-key": "k-1"}


@pytest.fixture
async def count_notes(superuser: asyncpg.Connection, tenant_id: UUID) -> Callable[[], Any]:
    """How many notes this test's tenant has."""
    return lambda: superuser.fetchval("select count(*) from notes where tenant_id = $1", tenant_id)


async def test_a_repeated_request_gets_the_first_answer(client, count_notes, published):
    first = await client.post(NOTES, json=NOTE, headers=KEY)
    again = await client.post(NOTES, json=NOTE, headers=KEY)
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    for header in ("location", "etag", "content-type"):
        assert first.headers[header] == again.headers[header]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert await count_notes() == 1
    assert len(await published(AccountOpened)) == 1


async def test_a_key_may_stand_in_quotes(client, count_notes):
    for key in ("k-1", '"k-1"'):
        assert (await client.post(NOTES, json=NOTE, headers={"idempotency-key": key})).status_code == 201
    assert await count_notes() == 1


async def test_without_a_key_each_request_counts(client, count_notes):
    for code in ("a", "b"):
        assert (await client.post(NOTES, json=NOTE | {"code": code})).status_code == 201
    assert await count_notes() == 2


async def test_a_key_serves_one_request_only(client, make_client, count_notes):
    await client.post(NOTES, json=NOTE, headers=KEY)
    colleague = make_client(user_id=uuid4())
    for answer in (
        await client.post(NOTES, json=NOTE | {"amount": "4"}, headers=KEY),
        await colleague.post(NOTES, json=NOTE, headers=KEY),
    ):
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/idempotency-key-reused")
    assert await count_notes() == 1


async def test_the_fingerprint_needs_the_secret_of_the_service(client, app_state, superuser, tenant_id, monkeypatch):
    """Who has the table alone cannot find out what was in the body."""
    body = b'{"code":"a","text":"b"}'
    sent = KEY | {"content-type": "application/json"}
    assert (await client.post(NOTES, content=body, headers=sent)).status_code == 201
    stored = "select fingerprint from idempotency_keys where tenant_id = $1"
    fingerprint = await superuser.fetchval(stored, tenant_id)
    monkeypatch.setitem(app_state, "fingerprint_secret", b"another")
    assert (await client.post(NOTES, content=body, headers=sent)).status_code == 422
    assert fingerprint_secret("one") != fingerprint_secret("two")
    assert len(fingerprint) == 64


async def test_the_keys_of_two_tenants_are_apart(client, make_client):
    first = await client.post(NOTES, json=NOTE, headers=KEY)
    other = await make_client(tenant_id=uuid4()).post(NOTES, json=NOTE, headers=KEY)
    assert other.status_code == 201
    assert other.json()["id"] != first.json()["id"]


async def test_twelve_equal_requests_at_once_have_one_effect(client, count_notes, published):
    answers = await asyncio.gather(*(client.post(NOTES, json=NOTE, headers=KEY) for _ in range(12)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await count_notes() == 1
    assert len(await published(AccountOpened)) == 1


async def test_another_replica_answers_as_the_first_has_answered(client, service_settings, count_notes):
    async with replica_of(create_app(service_settings)) as transport:
        other = httpx.AsyncClient(transport=transport, base_url="http://replica", headers=client.headers)
        answers = [await each.post(NOTES, json=NOTE, headers=KEY) for each in (client, other)]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert await count_notes() == 1


@pytest.mark.parametrize(
    ("refused", "status"), [({"code": "taken"}, 409), ({"code": "unwanted"}, 500), ({"amount": "-1"}, 422)]
)
async def test_a_request_that_fails_frees_its_key(client, refused, status):
    await client.post(NOTES, json=NOTE | {"code": "taken"})
    assert (await client.post(NOTES, json=NOTE | refused, headers=KEY)).status_code == status
    answer = await client.post(NOTES, json=NOTE, headers=KEY)
    assert (answer.status_code, answer.headers.get("idempotent-replayed")) == (201, None)


async def test_while_the_first_request_runs_the_second_is_told_to_come_again(
    run_probe,
    make_token,
    superuser,
    tenant_id,
    monkeypatch,
):
    monkeypatch.setattr(database, "LOCK_TIMEOUT", "50ms")
    async with run_probe() as url, httpx.AsyncClient(base_url=url) as client, superuser.transaction():
        await superuser.execute("insert into idempotency_keys values ($1, 'k-1', 'another request')", tenant_id)
        headers = KEY | {"authorization": f"Bearer {make_token()}"}
        answer = await client.post(NOTES, json=NOTE, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/request-in-progress")
        assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("key", ["", '""', "x" * 201, "a\tb"])
async def test_a_key_that_is_none_is_refused(client, key):
    answer = await client.post(NOTES, json=NOTE, headers={"idempotency-key": key})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid-idempotency-key")


@pytest.mark.parametrize("body", ["[]", '"text"', "null", "NaN", '{"code": "\\ud800"}', '{"code": NaN}'])
async def test_a_body_that_is_no_object_is_refused_with_a_key_as_without(client, count_notes, body):
    headers = KEY | {"content-type": "application/json"}
    answer = await client.post(NOTES, content=body, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-input")
    assert await count_notes() == 0


async def test_the_key_of_a_body_that_is_not_valid_is_not_claimed(client, superuser, tenant_id):
    """While another request holds the key, this one is refused for its body and does not wait."""
    async with superuser.transaction():
        await superuser.execute("insert into idempotency_keys values ($1, 'k-1', 'another request')", tenant_id)
        async with asyncio.timeout(3):
            answer = await client.post(NOTES, json=NOTE | {"amount": "-1"}, headers=KEY)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-input")


async def test_a_route_that_could_not_claim_the_key_is_found_out(app_state):
    once = Once(app_state["sessions"](), None)
    with pytest.raises(AssertionError, match="OnceRoute"):
        await once.created({}, location="/")
