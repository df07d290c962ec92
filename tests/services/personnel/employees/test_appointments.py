"""Further appointments: the terms of one person never overlap."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from libs.contracts.personnel import EmployeeAppointed

EMPLOYEES = "/api/v1/employees"


async def appoint(
    client: httpx.AsyncClient, employee: dict[str, Any], starts_on: str, ends_on: str | None = None, **given: str
) -> httpx.Response:
    term = {
        "department_id": employee["appointments"][0]["department_id"],
        "title": "Lead",
        "starts_on": starts_on,
        "ends_on": ends_on,
    }
    return await client.post(f"{EMPLOYEES}/{employee['id']}/appointments", json={**term, **given})


@pytest.fixture
async def employee(make_employee: Callable[..., Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    return await make_employee(appointment={"starts_on": "2021-01-01", "ends_on": "2021-12-31"})


@pytest.mark.parametrize(
    ("starts_on", "ends_on"), [("2022-01-01", None), ("2022-01-01", "2022-01-01"), ("2019-01-01", "2020-12-31")]
)
async def test_a_term_beside_the_others_is_added(client, employee, published, starts_on, ends_on):
    before = REGISTRY.get_sample_value("personnel_appointments_total")
    added = await appoint(client, employee, starts_on, ends_on)
    assert (added.status_code, added.headers["etag"]) == (201, '"2"')
    assert added.headers["location"] == f"{EMPLOYEES}/{employee['id']}"
    shown = added.json()
    assert [each["starts_on"] for each in shown["appointments"]] == sorted(["2021-01-01", starts_on])
    again = await client.get(added.headers["location"])
    assert (again.json(), again.headers["etag"]) == (shown, '"2"')
    [event] = await published(EmployeeAppointed)
    assert (event.starts_on.isoformat(), event.ends_on and event.ends_on.isoformat()) == (starts_on, ends_on)
    assert REGISTRY.get_sample_value("personnel_appointments_total") == before + 1


@pytest.mark.parametrize(
    ("starts_on", "ends_on"),
    [
        ("2021-12-31", None),
        ("2020-01-01", None),
        ("2020-01-01", "2021-01-01"),
        ("2021-06-01", "2021-06-02"),
        ("2021-01-01", "2021-12-31"),
    ],
)
async def test_a_term_over_another_is_refused(client, employee, published, starts_on, ends_on):
    refused = await appoint(client, employee, starts_on, ends_on)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/appointment-overlap")
    assert (await client.get(f"{EMPLOYEES}/{employee['id']}")).json() == employee
    assert await published(EmployeeAppointed) == []


async def test_two_people_may_have_the_same_time(make_employee):
    await make_employee("E-1")
    assert (await make_employee("E-2"))["employed"]


async def test_of_terms_at_the_same_time_one_is_added(client, employee):
    answers = await asyncio.gather(*(appoint(client, employee, "2022-01-01") for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5
    assert len((await client.get(f"{EMPLOYEES}/{employee['id']}")).json()["appointments"]) == 2


async def test_a_further_term_makes_an_older_version_stale(client, employee):
    await appoint(client, employee, "2022-01-01")
    path = f"{EMPLOYEES}/{employee['id']}"
    assert (await client.patch(path, json={"name": "Jo"}, headers={"if-match": '"1"'})).status_code == 412


async def test_wrong_input_is_refused(client, employee):
    backwards = await appoint(client, employee, "2022-02-01", "2022-01-01")
    unknown = await appoint(client, employee, "2022-02-01", salary="1")
    assert (backwards.status_code, unknown.status_code) == (422, 422)


async def test_the_database_refuses_what_no_rule_has_checked(superuser, employee, tenant_id):
    statement = """insert into appointments (tenant_id, employee_id, department_id, title, starts_on, version)
                   select tenant_id, employee_id, department_id, title, '2021-05-05', 1 from appointments
                   where tenant_id = $1"""
    with pytest.raises(Exception, match="ex_appointments_overlap"):
        await superuser.execute(statement, tenant_id)
