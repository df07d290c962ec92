"""Requesting an expenditure: who asks must be employed, and personnel tells who is."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY

from libs.contracts.budget import ExpenditureRequested

EXPENDITURES = "/api/v1/expenditures"


def count(decision: str) -> float | None:
    return REGISTRY.get_sample_value("budget_expenditures_total", {"decision": decision})


async def test_an_employee_requests_an_expenditure(client, member, allocation, published):
    before = count("requested")
    wanted = {"allocation_id": allocation["id"], "amount": "12.5", "purpose": " A trip "}
    made = await member.client.post(EXPENDITURES, json=wanted)
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    shown = made.json()
    assert (shown["status"], shown["amount"], shown["purpose"]) == ("requested", "12.50", "A trip")
    assert (shown["requester_id"], shown["employee_id"]) == (member.user_id, member.employee_id)
    found = await client.get(made.headers["location"])
    assert (found.headers["etag"], found.json()) == ('"1"', shown)
    [event] = await published(ExpenditureRequested)
    assert (str(event.expenditure_id), str(event.employee_id)) == (shown["id"], member.employee_id)
    assert count("requested") == before + 1
    untouched = await client.get(f"/api/v1/allocations/{allocation['id']}")
    assert untouched.json() == allocation


@pytest.mark.parametrize("term", [{"ends_on": "2020-12-31"}, {"starts_on": "2199-01-01"}])
async def test_who_is_not_employed_today_may_not_request(hire, allocation, published, term):
    person = await hire("budget:request", **term)
    before = count("refused")
    wanted = {"allocation_id": allocation["id"], "amount": "1.00", "purpose": "A trip"}
    refused = await person.client.post(EXPENDITURES, json=wanted)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-an-employee")
    assert await published(ExpenditureRequested) == []
    assert count("refused") == before + 1


async def test_the_last_day_still_counts(hire, allocation):
    person = await hire("budget:request", ends_on=datetime.now(UTC).date().isoformat())
    wanted = {"allocation_id": allocation["id"], "amount": "1.00", "purpose": "A trip"}
    assert (await person.client.post(EXPENDITURES, json=wanted)).status_code == 201


async def test_who_is_no_employee_may_not_request(make_client, allocation):
    wanted = {"allocation_id": allocation["id"], "amount": "1.00", "purpose": "A trip"}
    refused = await make_client(user_id=uuid4()).post(EXPENDITURES, json=wanted)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-an-employee")


async def test_an_unknown_allocation_is_refused(member, published):
    wanted = {"allocation_id": str(uuid4()), "amount": "1.00", "purpose": "A trip"}
    refused = await member.client.post(EXPENDITURES, json=wanted)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/unknown-allocation")
    assert await published(ExpenditureRequested) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": "0.00"},
        {"amount": 5},
        {"purpose": ""},
        {"purpose": "nul\x00"},
        {"status": "approved"},
        {"amount": None},
    ],
)
async def test_wrong_input_is_refused_and_changes_nothing(client, member, allocation, wrong):
    wanted = {"allocation_id": allocation["id"], "amount": "1.00", "purpose": "A trip"}
    refused = await member.client.post(EXPENDITURES, json=wanted | wrong)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-input")
    assert (await client.get(EXPENDITURES)).json()["items"] == []


async def test_the_same_key_requests_once(member, allocation, published):
    wanted = {"allocation_id": allocation["id"], "amount": "1.00", "purpose": "A trip"}
    key = {"idempotency-key": str(uuid4())}
    first = await member.client.post(EXPENDITURES, json=wanted, headers=key)
    again = await member.client.post(EXPENDITURES, json=wanted, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert len(await published(ExpenditureRequested)) == 1


async def test_a_retry_is_answered_as_before_although_the_requester_has_been_unlinked(
    member, make_client, allocation, personnel, published
):
    asked = {
        "json": {"allocation_id": allocation["id"], "amount": "1.00", "purpose": "A trip"},
        "headers": {"idempotency-key": str(uuid4())},
    }
    first = await member.client.post(EXPENDITURES, **asked)
    path = f"/api/v1/employees/{member.employee_id}"
    unlinked = await personnel.patch(path, json={"user_id": None}, headers={"if-match": "*"})
    assert unlinked.status_code == 200, unlinked.text
    again = await member.client.post(EXPENDITURES, **asked)
    assert (again.status_code, again.json(), again.headers["etag"]) == (201, first.json(), first.headers["etag"])
    assert (await member.client.post(EXPENDITURES, json=asked["json"])).status_code == 403
    demoted = make_client("budget:read", user_id=UUID(member.user_id))
    assert (await demoted.post(EXPENDITURES, **asked)).json()["type"] == "/problems/forbidden"
    assert len(await published(ExpenditureRequested)) == 1


async def test_the_list_can_show_one_allocation_or_status(client, allocation, make_request):
    requested = await make_request()

    async def shown(**filters: str) -> list[str]:
        response = await client.get(EXPENDITURES, params=filters)
        return [each["id"] for each in response.json()["items"]]

    assert await shown(allocation_id=allocation["id"], status="requested") == [requested["id"]]
    assert await shown(status="approved") == await shown(allocation_id=str(uuid4())) == []
    assert (await client.get(EXPENDITURES, params={"status": "lost"})).status_code == 422


async def test_requesting_and_reading_need_their_permissions(hire, allocation):
    person = await hire("budget:read")
    wanted = {"allocation_id": allocation["id"], "amount": "1.00", "purpose": "A trip"}
    assert (await person.client.post(EXPENDITURES, json=wanted)).status_code == 403
    assert (await person.client.get(EXPENDITURES)).status_code == 200
