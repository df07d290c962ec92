"""Lists by cursor: newest first, complete, and nothing twice."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from tests.libs.service_kit.probe.notes import Note

NOTES = "/api/v1/notes"
TenantSession = Callable[..., AbstractAsyncContextManager[AsyncSession]]


def cursor_of(*position: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


async def pages(client: httpx.AsyncClient, limit: int) -> AsyncIterator[list[dict[str, Any]]]:
    cursor: str | None = ""
    while cursor is not None:
        answer = await client.get(NOTES, params={"limit": limit} | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200
        yield answer.json()["items"]
        cursor = answer.json()["next_cursor"]


@pytest.fixture
async def codes(tenant_session: TenantSession, tenant_id: UUID) -> set[str]:
    """The codes of 27 notes: of one transaction, so with the same `created_at`, but for two."""
    for batch in (range(1), range(1, 26), range(26, 27)):
        async with tenant_session() as session:
            session.add_all(Note(tenant_id=tenant_id, code=f"n{n}", text="t", amount=n) for n in batch)
    return {f"n{n}" for n in range(27)}


@pytest.mark.parametrize("limit", [1, 9, 10, 27, 200])
async def test_pages_have_no_gap_and_no_repeat(client, codes, limit):
    read = [page async for page in pages(client, limit)]
    assert [len(page) for page in read[:-1]] == [limit] * (len(read) - 1)
    listed = [note["code"] for page in read for note in page]
    assert len(listed) == len(set(listed))
    assert set(listed) == codes
    assert (listed[0], listed[-1]) == ("n26", "n0")


async def test_what_is_added_meanwhile_moves_no_page(client, codes):
    listed: list[str] = []
    async for page in pages(client, 10):
        listed += [note["code"] for note in page]
        assert (await client.post(NOTES, json={"code": uuid4().hex, "text": "new"})).status_code == 201
    assert len(listed) == len(codes)
    assert set(listed) == codes


async def test_an_empty_list_is_a_page(client):
    assert (await client.get(NOTES)).json() == {"items": [], "next_cursor": None}


async def test_money_in_a_page_is_text(client, codes):
    assert (await client.get(NOTES, params={"limit": 1})).json()["items"][0]["amount"] == "26.00"


async def test_a_cursor_of_another_tenant_shows_nothing_of_it(client, make_client, codes):
    cursor = (await client.get(NOTES, params={"limit": 1})).json()["next_cursor"]
    answer = await make_client(tenant_id=uuid4()).get(NOTES, params={"cursor": cursor})
    assert answer.json() == {"items": [], "next_cursor": None}


BAD = {
    "no base64": "!",
    "not ASCII": "\u00e9",
    "no JSON": base64.urlsafe_b64encode(b"{").decode(),
    "not UTF-8": base64.urlsafe_b64encode(b"\xff\xfe\xff").decode(),
    "an object": base64.urlsafe_b64encode(b'{"a": 1, "b": 2}').decode(),
    "a number": base64.urlsafe_b64encode(b"1").decode(),
    "one part": cursor_of("2026-01-01T00:00:00+00:00"),
    "three parts": cursor_of("2026-01-01T00:00:00+00:00", str(uuid4()), 1),
    "no time": cursor_of("today", str(uuid4())),
    "a time without a zone": cursor_of("2026-01-01T00:00:00", str(uuid4())),
    "a time before all others": cursor_of("0001-01-01T00:00:00+23:59", str(uuid4())),
    "a time after all others": cursor_of("9999-12-31T23:59:59-23:59", str(uuid4())),
    "no id": cursor_of("2026-01-01T00:00:00+00:00", "1"),
    "numbers": cursor_of(1, 2),
    "nested": base64.urlsafe_b64encode(b"[" * 140).decode(),
}


@pytest.mark.parametrize("cursor", BAD.values(), ids=BAD.keys())
async def test_a_cursor_that_is_none_is_refused(client, cursor):
    answer = await client.get(NOTES, params={"cursor": cursor})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-cursor")


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 201}, {"limit": "x"}, {"cursor": "x" * 201}])
async def test_a_parameter_out_of_range_is_refused(client, params):
    assert (await client.get(NOTES, params=params)).status_code == 422
