"""A page of a list costs the same however many rows there are: by each filter but a period it reads its own rows by an index."""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from bench_scale.fill import FILL, fill, kinds
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from sqlalchemy import event

from libs.contracts import PLATFORM_TENANT_ID
from tests.fixtures.auth import trust
from tests.fixtures.database import SERVICES

ROWS, MOST = 40, 4000
"""The rows of each of a hundred tenants, and of the largest."""
MOST_READ = 4 * 51
"""The most rows that one part of a plan may read for a page of 50 rows and the one that says whether there are more."""
ELSEWHERE = {"from": "occurred_at", "to": "occurred_at", "allocation_id": "from_allocation_id"}
"""The field of an entry that has the value for a filter, if it has another name."""
PLATFORM_READERS = {"tenant": ("tenants:read",)}
"""What a caller needs who is of the platform, as all are who see tenants."""


class Grown(NamedTuple):
    """A service whose database has many rows."""

    client: httpx.AsyncClient
    lists: dict[str, list[dict[str, Any]]]
    """The parameters of each list."""
    plans: list[tuple[str, dict[str, Any]]]
    """Each statement of the requests so far, with PostgreSQL's plan for it."""


@pytest.fixture(scope="module", params=SERVICES)
def service_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def largest(service_name: str) -> UUID:
    return PLATFORM_TENANT_ID if service_name in PLATFORM_READERS else uuid4()


@pytest.fixture(scope="module")
async def filled(
    superuser: asyncpg.Connection,
    service_name: str,
    largest: UUID,
    signing_key: ec.EllipticCurvePrivateKey,
) -> AsyncIterator[None]:
    if service_name == "auth":
        await trust(superuser, signing_key)
    for kind in kinds(service_name):
        await fill(superuser, kind, tenants=100, rows=ROWS, largest=largest, most=MOST)
    yield
    tables = [table for kind in kinds(service_name) for table in re.findall(r"insert into (\w+)", FILL[kind])]
    for table in reversed(tables):  # the list of the platform's tenants is that of other tests too
        await superuser.execute(f"delete from {table} where tenant_id = '{largest}'")


@pytest.fixture
async def grown(
    app: FastAPI,
    app_state: dict[str, Any],
    filled: None,
    service_name: str,
    make_client: Callable[..., httpx.AsyncClient],
    largest: UUID,
) -> AsyncIterator[Grown]:
    reads = {path: each["get"].get("parameters", []) for path, each in app.openapi()["paths"].items() if "get" in each}
    lists = {path: given for path, given in reads.items() if any(each["name"] == "limit" for each in given)}
    plans: list[tuple[str, dict[str, Any]]] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("SELECT") and "FROM signing_keys" not in statement:
            planned = connection.connection.cursor()
            planned.execute(f"explain (analyze, format json) {statement}", parameters)
            plans.append((statement, planned.fetchone()[0][0]["Plan"]))
            planned.close()

    engine = app_state["engine"].sync_engine
    event.listen(engine, "before_cursor_execute", explain)
    yield Grown(make_client(*PLATFORM_READERS.get(service_name, ()), tenant_id=largest), lists, plans)
    event.remove(engine, "before_cursor_execute", explain)


def questions(parameters: list[dict[str, Any]], entries: list[dict[str, Any]]) -> list[dict[str, str]]:
    """What a client may ask of a list: everything, or by each filter, for many rows, for few and for none."""
    asked: list[dict[str, str]] = [{}]
    for each in parameters:
        name, schema = each["name"], json.dumps(each["schema"])
        if name in ("cursor", "limit"):
            continue
        known = {entry.get(name) or entry.get(ELSEWHERE.get(name, "")) for entry in entries} - {None}
        asked += [{name: value} for value in known]
        asked += [{name: str(uuid4())}] if "uuid" in schema else []
        asked += [{name: value} for value in ("requested", "approved", "rejected") if value in schema]
    return asked


def read(plan: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """How each table or index of a plan is read, and how many rows of it."""
    if "Relation Name" in plan or "Index Name" in plan:
        dropped = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
        yield plan["Node Type"], round((plan["Actual Rows"] + dropped) * plan["Actual Loops"])
    for each in plan.get("Plans", []):
        yield from read(each)


async def test_a_page_reads_its_own_rows_only(grown):
    assert grown.lists
    for path, parameters in grown.lists.items():
        entries = (await grown.client.get(path)).json()["items"][:20]
        for question in questions(parameters, entries):
            first = await grown.client.get(path, params=question)
            assert first.status_code == 200, first.text
            if following := first.json()["next_cursor"]:
                assert (await grown.client.get(path, params={**question, "cursor": following})).status_code == 200
    assert grown.plans
    wrong = [
        f"{how} of {rows} rows: {statement}"
        for statement, plan in grown.plans
        for how, rows in read(plan)
        if rows > MOST_READ or how == "Seq Scan"
    ]
    assert not wrong, "\n".join(wrong)
