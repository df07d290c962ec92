"""Employees over HTTP: hired, found, changed, and kept apart by tenant."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from libs.contracts.personnel import EmployeeHired, EmployeeUpdated

EMPLOYEES = "/api/v1/employees"


def day(offset: int) -> str:
    """So many days from today, which may not be the day on which this file was imported."""
    return (datetime.now(UTC).date() + timedelta(days=offset)).isoformat()


def a_person(department_id: str, **given: Any) -> dict[str, Any]:
    term = {"department_id": department_id, "title": "Clerk", "starts_on": "2020-01-01", **given.pop("appointment", {})}
    return {"number": "E-1", "name": "Jo Kim", "email": "Jo@Example.com", "appointment": term, **given}


async def test_hiring_makes_an_employee_with_a_first_appointment(client, make_department, published):
    before = REGISTRY.get_sample_value("personnel_hires_total")
    department = await make_department()
    hired = await client.post(EMPLOYEES, json=a_person(department["id"]))
    assert (hired.status_code, hired.headers["etag"]) == (201, '"1"')
    employee = hired.json()
    assert (employee["number"], employee["email"], employee["employed"]) == ("E-1", "jo@example.com", True)
    [term] = employee["appointments"]
    assert (term["department_id"], term["starts_on"], term["ends_on"]) == (department["id"], "2020-01-01", None)
    found = await client.get(hired.headers["location"])
    assert (found.headers["etag"], found.json()) == ('"1"', employee)
    [event] = await published(EmployeeHired)
    assert (str(event.employee_id), str(event.department_id)) == (employee["id"], department["id"])
    assert REGISTRY.get_sample_value("personnel_hires_total") == before + 1


@pytest.mark.parametrize(
    ("starts", "ends", "employed"),
    [(0, 0, True), (0, None, True), (-9, 0, True), (-9, -1, False), (1, None, False), (1, 9, False)],
)
async def test_who_has_an_appointment_today_is_employed(make_employee, starts, ends, employed):
    term = {"starts_on": day(starts), "ends_on": None if ends is None else day(ends)}
    assert (await make_employee(appointment=term))["employed"] is employed


async def test_a_number_and_a_user_are_given_once_in_a_tenant(client, make_client, make_employee, make_department):
    user_id = str(uuid4())
    await make_employee("E-1", user_id=user_id)
    department = await make_department()
    same_number = await client.post(EMPLOYEES, json=a_person(department["id"], number="E-1"))
    same_user = await client.post(EMPLOYEES, json=a_person(department["id"], number="E-2", user_id=user_id))
    assert (same_number.status_code, same_number.json()["type"]) == (409, "/problems/employee-number-taken")
    assert (same_user.status_code, same_user.json()["type"]) == (409, "/problems/employee-user-taken")

    other = make_client(tenant_id=uuid4())
    theirs = await other.post("/api/v1/departments", json={"code": "sales", "name": "Sales"})
    elsewhere = await other.post(EMPLOYEES, json=a_person(theirs.json()["id"], user_id=user_id))
    assert elsewhere.status_code == 201


async def test_an_unknown_or_foreign_department_is_refused(client, make_client, published):
    foreign = await make_client(tenant_id=uuid4()).post("/api/v1/departments", json={"code": "far", "name": "Far"})
    for department_id in (str(uuid4()), foreign.json()["id"]):
        refused = await client.post(EMPLOYEES, json=a_person(department_id))
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/unknown-department")
    assert (await client.get(EMPLOYEES)).json()["items"] == []
    assert await published(EmployeeHired) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"number": "no spaces"},
        {"number": "x" * 31},
        {"name": "nul\x00"},
        {"email": "nobody"},
        {"user_id": "me"},
        {"resident_registration_number": "900101-1234567"},
        {"appointment": {"starts_on": 0}},
        {"appointment": {"starts_on": "2020-02-30"}},
        {"appointment": {"starts_on": "1850-01-01"}},
        {"appointment": {"starts_on": "2020-01-01T00:00:00"}},
        {"appointment": {"ends_on": "9999-12-31"}},
        {"appointment": {"ends_on": "2019-12-31"}},
        {"appointment": {"title": ""}},
        {"appointment": {"salary": "1"}},
    ],
)
async def test_wrong_input_is_refused_and_changes_nothing(client, make_department, wrong):
    refused = await client.post(EMPLOYEES, json=a_person((await make_department())["id"], **wrong))
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-input")
    assert (await client.get(EMPLOYEES)).json()["items"] == []


async def test_a_person_sees_their_own_record_without_any_permission(make_client, make_employee, user_id):
    employee = await make_employee(user_id=str(user_id))
    own = await make_client("audit:read").get(f"{EMPLOYEES}/me")
    assert (own.status_code, own.headers["etag"], own.json()) == (200, '"1"', employee)


async def test_who_is_no_employee_has_no_record(make_client, make_employee, user_id):
    await make_employee()
    await make_employee("E-2", user_id=str(user_id))
    stranger = await make_client(user_id=uuid4()).get(f"{EMPLOYEES}/me")
    elsewhere = await make_client(tenant_id=uuid4()).get(f"{EMPLOYEES}/me")
    for answer in (stranger, elsewhere):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-an-employee")


async def test_the_own_record_can_only_be_read(client):
    refused = await client.patch(f"{EMPLOYEES}/me", json={"name": "Jo"}, headers={"if-match": "*"})
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")
    assert (await client.get(f"{EMPLOYEES}/you")).status_code == 404


async def test_the_list_finds_by_department_of_today_and_by_user(client, make_department, make_employee):
    sales, north = await make_department("sales"), await make_department("north")
    user_id = str(uuid4())
    await make_employee("E-1", appointment={"department_id": sales["id"]}, user_id=user_id)
    await make_employee("E-2", appointment={"department_id": north["id"]})
    await make_employee("E-3", appointment={"department_id": sales["id"], "ends_on": day(-1)})

    async def numbers(**filters: str) -> list[str]:
        return [each["number"] for each in (await client.get(EMPLOYEES, params=filters)).json()["items"]]

    assert await numbers() == ["E-3", "E-2", "E-1"]
    assert await numbers(department_id=sales["id"]) == ["E-1"]
    assert await numbers(user_id=user_id) == ["E-1"]
    assert await numbers(user_id=user_id, department_id=north["id"]) == []
    assert (await client.get(EMPLOYEES, params={"user_id": "me"})).status_code == 422


async def test_an_employees_own_data_change(client, make_employee, published):
    employee = await make_employee(user_id=str(uuid4()))
    path = f"{EMPLOYEES}/{employee['id']}"
    changed = await client.patch(path, json={"name": "Jo Park", "user_id": None}, headers={"if-match": '"1"'})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert (changed.json()["name"], changed.json()["user_id"], changed.json()["email"]) == (
        "Jo Park",
        None,
        "jo@example.com",
    )
    assert len(await published(EmployeeUpdated)) == 1


async def test_an_update_is_refused_without_the_right_version_or_with_anothers_user(client, make_employee):
    taken = str(uuid4())
    await make_employee("E-1", user_id=taken)
    path = f"{EMPLOYEES}/{(await make_employee('E-2'))['id']}"
    missing = await client.patch(path, json={"name": "Jo"})
    stale = await client.patch(path, json={"name": "Jo"}, headers={"if-match": '"2"'})
    conflict = await client.patch(path, json={"user_id": taken}, headers={"if-match": '"1"'})
    assert (missing.status_code, stale.status_code) == (428, 412)
    assert (conflict.status_code, conflict.json()["type"]) == (409, "/problems/employee-user-taken")


async def test_another_tenants_employee_does_not_exist(make_client, make_department, make_employee):
    path = f"{EMPLOYEES}/{(await make_employee())['id']}"
    other = make_client(tenant_id=uuid4())
    department = await other.post("/api/v1/departments", json={"code": "sales", "name": "Sales"})
    term = {"department_id": department.json()["id"], "title": "Clerk", "starts_on": "2030-01-01"}
    answers = [
        await other.get(path),
        await other.patch(path, json={"name": "Mine"}, headers={"if-match": "*"}),
        await other.post(f"{path}/appointments", json=term),
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert (await other.get(EMPLOYEES)).json()["items"] == []


async def test_each_route_asks_for_its_permission(make_client, make_employee):
    path = f"{EMPLOYEES}/{(await make_employee())['id']}"
    reader, writer = make_client("personnel:read"), make_client("personnel:write")
    assert (await reader.get(path)).status_code == 200
    assert (await writer.get(path)).status_code == 403
    assert (await reader.patch(path, json={"name": "Jo"}, headers={"if-match": "*"})).status_code == 403
    assert (await reader.post(EMPLOYEES, json={})).status_code == 403


async def test_a_link_names_who_made_it_and_only_a_new_link_does(client, make_client, make_employee, user_id):
    mine = await make_employee(user_id=str(uuid4()))
    unlinked = await make_employee("E-2")
    assert (mine["linked_by"], unlinked["linked_by"]) == (str(user_id), None)
    other = uuid4()
    colleague, path = make_client(user_id=other), f"{EMPLOYEES}/{mine['id']}"

    async def linked_by(wanted: dict[str, Any]) -> str:
        return (await colleague.patch(path, json=wanted, headers={"if-match": "*"})).json()["linked_by"]

    assert await linked_by({"name": "Jo", "user_id": mine["user_id"]}) == str(user_id)
    assert await linked_by({"user_id": str(uuid4())}) == str(other)
