"""The organisation chart over HTTP: the departments as they are, with the people of a day."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.personnel.chart import service

CHART = "/api/v1/departments/chart"
EMPLOYEES = "/api/v1/employees"


def day(offset: int) -> str:
    return (datetime.now(UTC).date() + timedelta(days=offset)).isoformat()


async def chart_of(client: httpx.AsyncClient, **asked: Any) -> dict[str, Any]:
    answer = await client.get(CHART, params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def people(client: httpx.AsyncClient, **asked: Any) -> dict[str, list[tuple[str, str]]]:
    """Name and title of those who work in each department that has any, by its code."""
    departments = (await chart_of(client, **asked))["departments"]
    shown = {each["code"]: [(who["name"], who["title"]) for who in each["people"]] for each in departments}
    return {code: found for code, found in shown.items() if found}


async def test_each_department_follows_the_one_above_it_with_its_people(client, make_department, make_employee):
    east = await make_department("east")
    west = await make_department("west")
    shop = await make_department("shop", parent_id=east["id"])
    await make_department("till", parent_id=shop["id"])
    await make_department("depot", parent_id=east["id"])
    hired = [
        await make_employee(f"E-{name}", name=name, appointment={"department_id": where["id"]})
        for name, where in (("Ines", shop), ("Bo", shop), ("Al", west))
    ]
    chart = await chart_of(client)
    assert chart["on"] == day(0)
    departments = chart["departments"]
    assert [(each["depth"], each["code"]) for each in departments] == [
        (0, "east"),
        (1, "depot"),
        (1, "shop"),
        (2, "till"),
        (0, "west"),
    ]
    assert departments[2] == {
        **{name: shop[name] for name in ("id", "code", "name", "parent_id")},
        "depth": 1,
        "people": [
            {"employee_id": hired[1]["id"], "name": "Bo", "title": "Clerk"},
            {"employee_id": hired[0]["id"], "name": "Ines", "title": "Clerk"},
        ],
    }
    assert await people(client) == {"shop": [("Bo", "Clerk"), ("Ines", "Clerk")], "west": [("Al", "Clerk")]}


async def test_people_are_where_their_appointment_of_the_day_is(client, make_department, make_employee):
    home, away = await make_department("home"), await make_department("away")
    term = {"department_id": home["id"], "starts_on": day(-20), "ends_on": day(9)}
    employee = await make_employee(appointment=term)
    moved = {"department_id": away["id"], "starts_on": day(-5), "title": "Lead"}
    await client.post(f"{EMPLOYEES}/{employee['id']}/transfer", json=moved, headers={"if-match": "*"})
    clerk, lead = {"home": [("Jo Kim", "Clerk")]}, {"away": [("Jo Kim", "Lead")]}
    expected = {-21: {}, -20: clerk, -6: clerk, -5: lead, 0: lead, 9: lead, 10: {}}
    assert {each: await people(client, on=day(each)) for each in expected} == expected
    assert await people(client) == lead


async def test_departments_and_names_are_as_now_on_every_day(client, make_department, make_employee):
    above, moved = await make_department("above"), await make_department("moved")
    employee = await make_employee(appointment={"department_id": moved["id"]})
    change = {"if-match": "*"}
    renamed = {"parent_id": above["id"], "name": "Renamed"}
    await client.patch(f"/api/v1/departments/{moved['id']}", json=renamed, headers=change)
    await client.patch(f"{EMPLOYEES}/{employee['id']}", json={"name": "Jo Lee"}, headers=change)
    [_, shown] = (await chart_of(client, on="2020-06-01"))["departments"]
    assert (shown["name"], shown["parent_id"], shown["people"][0]["name"]) == ("Renamed", above["id"], "Jo Lee")


async def test_a_part_is_one_department_with_all_below_it(client, make_department, make_employee):
    top = await make_department("top")
    part = await make_department("part", parent_id=top["id"])
    low = await make_department("low", parent_id=part["id"])
    await make_department("beside", parent_id=top["id"])
    await make_employee(appointment={"department_id": low["id"]})
    found = (await chart_of(client, department_id=part["id"]))["departments"]
    assert [(each["depth"], each["code"], len(each["people"])) for each in found] == [(0, "part", 0), (1, "low", 1)]
    assert await people(client, department_id=part["id"], on="2019-12-31") == {}
    assert (await chart_of(client, department_id=str(uuid4())))["departments"] == []


async def test_a_chart_that_is_too_large_is_refused_and_its_parts_are_not(
    client, make_department, make_employee, monkeypatch
):
    monkeypatch.setattr(service, "MOST_LINES", 3)
    top = await make_department("top")
    low = await make_department("low", parent_id=top["id"])
    for number in ("E-1", "E-2"):  # a line each, as `top` has one, which is empty
        await make_employee(number, appointment={"department_id": low["id"]})
    assert len((await chart_of(client))["departments"]) == 2
    await make_department("one-more")
    refused = await client.get(CHART)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/chart-too-large")
    assert len((await chart_of(client, department_id=top["id"]))["departments"]) == 2


async def test_another_tenant_sees_nothing_of_it(client, make_client, make_department, make_employee):
    department = await make_department()
    await make_employee(appointment={"department_id": department["id"]})
    assert await people(client) != {}
    other = make_client(tenant_id=uuid4())
    for asked in ({}, {"department_id": department["id"]}, {"on": "2020-01-01"}):
        assert (await chart_of(other, **asked))["departments"] == []


@pytest.mark.parametrize("wrong", ["", "yesterday", "2026-02-30", "20260301", "0", "1899-12-31", "2200-01-01"])
async def test_what_is_no_day_is_refused(client, wrong):
    refused = await client.get(CHART, params={"on": wrong})
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-input")


async def test_the_chart_is_for_readers_and_read_only(make_client, anonymous):
    answers = [await make_client(may).get(CHART) for may in ("personnel:read", "personnel:write")]
    assert [answer.status_code for answer in answers] == [200, 403]
    assert (await anonymous.get(CHART)).status_code == 401
    changed = await make_client("personnel:write").patch(CHART, json={"name": "x"}, headers={"if-match": "*"})
    assert changed.status_code == 405
