"""An employee goes to another department and leaves, on a day that may lie ahead, and can come back."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from libs.contracts.personnel import EmployeeLeft, EmployeeTransferred

EMPLOYEES = "/api/v1/employees"
Make = Callable[..., Awaitable[dict[str, Any]]]


def day(offset: int) -> str:
    return (datetime.now(UTC).date() + timedelta(days=offset)).isoformat()


async def move(
    client: httpx.AsyncClient, employee: dict[str, Any], verb: str, if_match: str = "*", **wanted: Any
) -> httpx.Response:
    return await client.post(f"{EMPLOYEES}/{employee['id']}/{verb}", json=wanted, headers={"if-match": if_match})


def terms(employee: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(each["department_id"], each["starts_on"], each["ends_on"]) for each in employee["appointments"]]


@pytest.fixture
async def employee(make_employee: Make) -> dict[str, Any]:
    """A clerk since 2020."""
    return await make_employee()


@pytest.fixture
async def elsewhere(make_department: Make) -> str:
    """Another department."""
    return (await make_department("elsewhere"))["id"]


@pytest.mark.parametrize("starts", [-9, 0, 9])
async def test_a_transfer_ends_one_appointment_and_begins_the_next(client, employee, elsewhere, published, starts):
    before = REGISTRY.get_sample_value("personnel_transfers_total")
    [(home, since, _)] = terms(employee)
    moved = await move(client, employee, "transfer", '"1"', department_id=elsewhere, starts_on=day(starts))
    assert (moved.status_code, moved.headers["etag"]) == (200, '"2"')
    shown = moved.json()
    assert terms(shown) == [(home, since, day(starts - 1)), (elsewhere, day(starts), None)]
    assert {each["title"] for each in shown["appointments"]} == {"Clerk"}
    assert shown["employed"]
    today = await client.get(EMPLOYEES, params={"department_id": home if starts > 0 else elsewhere})
    assert [each["id"] for each in today.json()["items"]] == [employee["id"]]
    [event] = await published(EmployeeTransferred)
    assert (str(event.department_id), event.starts_on.isoformat()) == (elsewhere, day(starts))
    assert REGISTRY.get_sample_value("personnel_transfers_total") == before + 1


async def test_a_transfer_keeps_the_end_of_the_term_and_may_change_the_title(client, make_employee, elsewhere):
    employee = await make_employee(appointment={"ends_on": day(30)})
    moved = await move(client, employee, "transfer", department_id=elsewhere, starts_on=day(0), title="Lead")
    last = moved.json()["appointments"][-1]
    assert (last["title"], last["ends_on"]) == ("Lead", day(30))


async def test_a_transfer_that_moves_nothing_is_refused(client, employee, elsewhere, published):
    home = employee["appointments"][0]["department_id"]
    wanted = {
        "/problems/not-employed-then": {"department_id": elsewhere, "starts_on": "2019-12-31"},
        "/problems/nothing-transferred": {"department_id": home, "starts_on": day(0)},
        "/problems/unknown-department": {"department_id": employee["id"], "starts_on": day(0)},
    }
    answers = [await move(client, employee, "transfer", **each) for each in wanted.values()]
    on_the_first_day = await move(client, employee, "transfer", department_id=elsewhere, starts_on="2020-01-01")
    assert [answer.json()["type"] for answer in answers] == list(wanted)
    assert on_the_first_day.json()["type"] == "/problems/nothing-transferred"
    assert (await client.get(f"{EMPLOYEES}/{employee['id']}")).json() == employee
    assert await published(EmployeeTransferred) == []


async def test_of_transfers_at_the_same_time_one_happens(client, employee, elsewhere):
    move_once = {"if_match": '"1"', "department_id": elsewhere, "starts_on": day(0)}
    answers = await asyncio.gather(*(move(client, employee, "transfer", **move_once) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 4


@pytest.mark.parametrize(("last", "employed"), [(-1, False), (0, True), (9, True)])
async def test_who_leaves_is_employed_until_the_last_day(client, employee, published, last, employed):
    before = REGISTRY.get_sample_value("personnel_departures_total")
    left = await move(client, employee, "leave", '"1"', ends_on=day(last))
    assert (left.status_code, left.headers["etag"]) == (200, '"2"')
    assert (terms(left.json())[0][2], left.json()["employed"]) == (day(last), employed)
    [event] = await published(EmployeeLeft)
    assert (str(event.employee_id), event.ends_on.isoformat()) == (employee["id"], day(last))
    assert REGISTRY.get_sample_value("personnel_departures_total") == before + 1


async def test_leaving_cancels_what_has_not_begun_and_can_be_brought_forward(client, employee, elsewhere):
    await move(client, employee, "transfer", department_id=elsewhere, starts_on=day(5))
    later = await move(client, employee, "leave", ends_on=day(20))
    assert [ends for _, _, ends in terms(later.json())] == [day(4), day(20)]
    sooner = await move(client, employee, "leave", ends_on=day(2))
    assert [ends for _, _, ends in terms(sooner.json())] == [day(2)]


async def test_who_never_came_has_no_appointment_left(client, make_employee):
    employee = await make_employee(appointment={"starts_on": day(9)})
    assert terms((await move(client, employee, "leave", ends_on=day(0))).json()) == []


async def test_leaving_is_refused_where_there_is_nothing_to_end_or_it_has_happened_otherwise(
    client, employee, elsewhere, published
):
    await move(client, employee, "transfer", department_id=elsewhere, starts_on=day(-5))
    begun = await move(client, employee, "leave", ends_on=day(-9))
    assert (begun.status_code, begun.json()["type"]) == (409, "/problems/appointment-begun")
    await move(client, employee, "leave", ends_on=day(-1))
    gone = await move(client, employee, "leave", ends_on=day(0))
    assert (gone.status_code, gone.json()["type"]) == (409, "/problems/not-employed-then")
    assert len(await published(EmployeeLeft)) == 1


async def test_who_has_left_can_be_hired_again(client, employee, elsewhere):
    await move(client, employee, "leave", ends_on=day(-1))
    term = {"department_id": elsewhere, "title": "Lead", "starts_on": day(0)}
    again = await client.post(f"{EMPLOYEES}/{employee['id']}/appointments", json=term)
    assert (again.status_code, again.json()["employed"]) == (201, True)


@pytest.mark.parametrize("verb", ["transfer", "leave"])
async def test_another_tenant_and_a_reader_can_end_nothing(make_client, employee, elsewhere, tenant_id, verb):
    wanted = {"department_id": elsewhere, "starts_on": day(0)} if verb == "transfer" else {"ends_on": day(0)}
    reader = await move(make_client("personnel:read"), employee, verb, **wanted)
    stranger = await move(make_client(tenant_id=elsewhere), employee, verb, **wanted)
    assert (reader.status_code, stranger.status_code) == (403, 404)
