"""Fiscal years over HTTP: opened without overlap, and kept apart by tenant."""

import asyncio
from uuid import uuid4

import pytest

from libs.contracts.budget import FiscalYearOpened
from services.budget.fiscal_years.queries import lock_years
from tests.fixtures.waiting import until_somebody_waits

YEARS = "/api/v1/fiscal-years"
YEAR = {"name": "2026", "starts_on": "2026-01-01", "ends_on": "2026-12-31"}


async def test_a_year_is_opened_and_found_again(client, published):
    opened = await client.post(YEARS, json=YEAR)
    assert (opened.status_code, opened.headers["etag"]) == (201, '"1"')
    found = await client.get(opened.headers["location"])
    assert (found.status_code, found.headers["etag"], found.json()) == (200, '"1"', opened.json())
    assert (await client.get(YEARS)).json() == {"items": [opened.json()], "next_cursor": None}
    [event] = await published(FiscalYearOpened)
    assert (str(event.fiscal_year_id), event.ends_on.isoformat()) == (opened.json()["id"], "2026-12-31")


@pytest.mark.parametrize(("starts_on", "ends_on"), [("2027-01-01", "2027-12-31"), ("2025-12-31", "2025-12-31")])
async def test_years_may_follow_each_other(client, make_fiscal_year, starts_on, ends_on):
    await make_fiscal_year()
    assert (await client.post(YEARS, json=YEAR | {"starts_on": starts_on, "ends_on": ends_on})).status_code == 201


@pytest.mark.parametrize(("starts_on", "ends_on"), [("2026-12-31", "2027-12-30"), ("2026-03-01", "2026-03-01")])
async def test_years_never_overlap(client, make_fiscal_year, published, starts_on, ends_on):
    await make_fiscal_year()
    refused = await client.post(YEARS, json=YEAR | {"starts_on": starts_on, "ends_on": ends_on})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/fiscal-year-overlap")
    assert len(await published(FiscalYearOpened)) == 1


async def test_of_years_opened_at_the_same_time_one_is(client):
    answers = await asyncio.gather(*(client.post(YEARS, json=YEAR) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5


async def test_a_year_waits_before_its_row_is_inserted_since_two_rows_could_deadlock(
    client, tenant_id, tenant_session, superuser
):
    async with tenant_session() as session:
        await lock_years(session, tenant_id)
        waiting = asyncio.create_task(client.post(YEARS, json=YEAR))
        await until_somebody_waits(superuser)
    assert (await waiting).status_code == 201


async def test_tenants_have_their_own_years(make_client, make_fiscal_year):
    year = await make_fiscal_year()
    other = make_client(tenant_id=uuid4())
    foreign = await other.get(f"{YEARS}/{year['id']}")
    assert (foreign.status_code, foreign.json()["type"]) == (404, "/problems/fiscal-year-not-found")
    assert (await other.get(YEARS)).json()["items"] == []
    assert (await other.post(YEARS, json=YEAR)).status_code == 201


@pytest.mark.parametrize(
    "wrong",
    [
        {"ends_on": "2025-12-31"},
        {"ends_on": None},
        {"starts_on": "2026-1-1"},
        {"starts_on": 1767225600},
        {"starts_on": "0001-01-01"},
        {"ends_on": "2026-02-29"},
        {"name": "nul\x00"},
        {"tenant_id": str(uuid4())},
    ],
)
async def test_wrong_input_is_refused_and_changes_nothing(client, wrong):
    refused = await client.post(YEARS, json=YEAR | wrong)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-input")
    assert (await client.get(YEARS)).json()["items"] == []


async def test_each_route_asks_for_its_permission(make_client):
    reader, writer = make_client("budget:read"), make_client("budget:write")
    assert (await reader.post(YEARS, json=YEAR)).status_code == 403
    assert (await writer.get(YEARS)).status_code == 403
    assert (await writer.post(YEARS, json=YEAR)).status_code == 201
