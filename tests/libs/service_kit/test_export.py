"""An export holds every row of its tenant once, and says that it was complete only when it was."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from libs.contracts import PLATFORM_TENANT_ID
from libs.contracts.provisioning import TenantExported
from libs.contracts.tenant import TenantResumed, TenantSuspended
from libs.service_kit import export, standing

MakeClient = Callable[..., httpx.AsyncClient]


@pytest.fixture
def path(tenant_id: UUID) -> str:
    """Where this test's tenant is exported."""
    return f"/api/v1/tenants/{tenant_id}/export"


@pytest.fixture
def platform(make_client: MakeClient) -> httpx.AsyncClient:
    """A client of one of the platform's people."""
    return make_client("tenants:write", tenant_id=PLATFORM_TENANT_ID)


@pytest.fixture(autouse=True)
async def notes(superuser: asyncpg.Connection, tenant_id: UUID) -> set[str]:
    """The codes of five notes of this tenant; another has some as well."""
    add = "insert into notes (tenant_id, code, text, amount, version) values ($1, $2, 'Café', 12.50, 1)"
    codes = {f"n-{number}" for number in range(5)}
    await superuser.executemany(add, [(tenant, code) for tenant in (tenant_id, uuid4()) for code in codes])
    return codes


@pytest.fixture
def suspended(tenant_session: Callable[..., Any], tenant_id: UUID) -> Callable[..., Awaitable[None]]:
    """Let the service hear of the tenant's next turn: odd numbers suspend it."""

    async def hear(number: int) -> None:
        async with tenant_session() as session:
            if number % 2:
                await standing.on_suspended(
                    session, TenantSuspended(tenant_id=tenant_id, reason="unpaid", number=number)
                )
            else:
                await standing.on_resumed(session, TenantResumed(tenant_id=tenant_id, number=number))

    return hear


async def read(
    client: httpx.AsyncClient, path: str, cursor: str | None = None
) -> tuple[list[dict[str, Any]], str | None]:
    """The rows of one page, and the cursor of the next."""
    answer = await client.get(path, params={"cursor": cursor} if cursor else {})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/jsonl"), answer.text
    return [json.loads(line) for line in answer.text.splitlines()], answer.headers.get("next-cursor")


@pytest.mark.parametrize("rows", [1, 2, 5, 6])
async def test_every_row_of_the_tenant_is_there_once(client, path, notes, published, monkeypatch, tenant_id, rows):
    monkeypatch.setattr(export, "ROWS", rows)
    pages, cursor = [], ""
    while cursor is not None:
        page, cursor = await read(client, path, cursor)
        pages.append(page)
    lines = [line for page in pages for line in page]
    assert all(len(page) <= rows for page in pages)
    assert [line["table"] for line in lines] == ["notes"] * 5
    assert {line["row"]["code"] for line in lines} == notes
    assert {(line["row"]["tenant_id"], line["row"]["text"], line["row"]["amount"]) for line in lines} == {
        (str(tenant_id), "Café", 12.5)
    }
    assert await published(TenantExported) == [TenantExported(tenant_id=tenant_id, service="probe", number=0)]


async def test_half_an_export_is_none(client, path, published, monkeypatch):
    monkeypatch.setattr(export, "ROWS", 2)
    await read(client, path)
    assert await published(TenantExported) == []


async def test_an_export_counts_for_the_suspension_that_held_all_the_time(
    platform, path, suspended, published, monkeypatch
):
    monkeypatch.setattr(export, "ROWS", 4)
    _, begun_before = await read(platform, path)
    await suspended(1)
    await read(platform, path, begun_before)
    _, begun = await read(platform, path)
    await read(platform, path, begun)
    await suspended(2)
    await suspended(3)
    await read(platform, path, begun)
    assert [event.number for event in await published(TenantExported)] == [0, 1, 0]


async def test_only_the_tenants_own_administrator_and_the_platform_may(make_client, platform, path):
    allowed = (platform, make_client("tenant:export"))
    refused = (
        make_client("budget:read", "budget:write"),
        make_client("tenant:export", "tenants:write", tenant_id=uuid4()),
        make_client("tenants:read", "tenant:export", tenant_id=PLATFORM_TENANT_ID),
    )
    assert [(await each.get(path)).status_code for each in allowed] == [200, 200]
    answers = [await each.get(path) for each in refused]
    assert {(each.status_code, each.json()["type"]) for each in answers} == {(403, "/problems/export-forbidden")}


MADE_UP = (
    "",
    "x",
    "0",
    "0:notes:x",
    "0:pg_class",
    "x:notes",
    "-1:notes",
    "1_0:notes",
    " 0:notes",
    "٠:notes",
    f"0:notes:{UUID(int=1)}:{UUID(int=2)}",
    f"0:notes:{{{UUID(int=1)}}}",
    f"0:notes:{UUID(int=10)}".upper(),
    "0:notes; drop table notes",
)


@pytest.mark.parametrize("cursor", MADE_UP)
async def test_a_cursor_that_no_export_has_given_is_refused(client, path, published, cursor):
    refused = await client.get(path, params={"cursor": cursor})
    assert (refused.status_code, refused.json()["type"]) == (400, "/problems/bad-cursor")
    assert await published(TenantExported) == []


async def test_a_cursor_of_another_tenants_row_shows_only_ones_own(client, path, tenant_id, superuser):
    other = await superuser.fetchval("select id from notes where tenant_id <> $1 limit 1", tenant_id)
    last = "insert into notes (tenant_id, code, text, amount, version) values ($1, 'last', '', 1, 1)"
    await superuser.execute(last, tenant_id)
    page, _ = await read(client, path, f"0:notes:{other}")
    assert {line["row"]["tenant_id"] for line in page} == {str(tenant_id)}


@pytest.mark.parametrize("of_platform", [True, False])
async def test_who_has_lost_the_power_exports_nothing_whatever_the_token_says(
    make_client, path, powerless, of_platform, published
):
    user = uuid4()
    given = ("tenants:write",) if of_platform else ("tenant:export",)
    client = make_client(*given, user_id=user, tenant_id=PLATFORM_TENANT_ID if of_platform else None)
    powerless.add(user)
    refused = await client.get(path)
    assert (refused.status_code, refused.json()["missing"]) == (403, list(given))
    powerless.discard(user)
    assert (await client.get(path)).status_code == 200
