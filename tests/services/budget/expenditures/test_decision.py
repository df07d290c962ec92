"""Deciding about an expenditure: four eyes, both employed, within what is left, once."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
from prometheus_client import REGISTRY

from libs.contracts.budget import ExpenditureApproved, ExpenditureRejected

EXPENDITURES = "/api/v1/expenditures"


def count(decision: str) -> float | None:
    return REGISTRY.get_sample_value("budget_expenditures_total", {"decision": decision})


async def reject(
    person: SimpleNamespace, requested: dict[str, Any], if_match: str = '"1"', reason: str = "Too dear"
) -> httpx.Response:
    path = f"{EXPENDITURES}/{requested['id']}/reject"
    return await person.client.post(path, json={"reason": reason}, headers={"if-match": if_match})


async def leave(personnel: httpx.AsyncClient, person: SimpleNamespace) -> None:
    """Let the person leave, with yesterday as the last day."""
    yesterday = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    path = f"/api/v1/employees/{person.employee_id}/leave"
    left = await personnel.post(path, json={"ends_on": yesterday}, headers={"if-match": "*"})
    assert left.status_code == 200, left.text


async def test_an_approval_commits_the_money(client, manager, allocation, make_request, approve, published):
    counted, money = count("approved"), REGISTRY.get_sample_value("budget_committed_amount_total")
    requested = await make_request("250.50")
    approved = await approve(manager, requested)
    assert (approved.status_code, approved.headers["etag"]) == (200, '"2"')
    shown = approved.json()
    assert (shown["status"], shown["decided_by"], shown["reason"]) == ("approved", manager.user_id, None)
    assert (await client.get(f"{EXPENDITURES}/{requested['id']}")).json() == shown
    left = (await client.get(f"/api/v1/allocations/{allocation['id']}")).json()
    assert (left["amount"], left["committed"], left["available"]) == ("1000.00", "250.50", "749.50")
    [event] = await published(ExpenditureApproved)
    assert (str(event.expenditure_id), str(event.amount)) == (requested["id"], "250.50")
    assert count("approved") == counted + 1
    assert REGISTRY.get_sample_value("budget_committed_amount_total") == money + 250.5


async def test_all_that_is_left_can_be_spent_and_no_more(manager, make_request, approve, published):
    everything, cent = await make_request("1000.00"), await make_request("0.01")
    assert (await approve(manager, everything)).status_code == 200
    refused_before = count("refused")
    refused = await approve(manager, cent)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/budget-exceeded")
    assert refused.json()["available"] == "0.00"
    assert count("refused") == refused_before + 1
    assert len(await published(ExpenditureApproved)) == 1


async def test_a_refused_request_can_be_approved_once_there_is_more(client, allocation, manager, make_request, approve):
    requested = await make_request("1500.00")
    assert (await approve(manager, requested)).status_code == 409
    path = f"/api/v1/allocations/{allocation['id']}"
    await client.patch(path, json={"amount": "1500.00"}, headers={"if-match": "*"})
    assert (await approve(manager, requested)).status_code == 200


async def test_an_allocation_never_falls_below_what_is_committed(client, allocation, manager, make_request, approve):
    await approve(manager, await make_request("600.00"))
    path = f"/api/v1/allocations/{allocation['id']}"
    below = await client.patch(path, json={"amount": "599.99"}, headers={"if-match": "*"})
    assert (below.status_code, below.json()["type"]) == (409, "/problems/below-committed")
    assert below.json()["committed"] == "600.00"
    exactly = await client.patch(path, json={"amount": "600.00"}, headers={"if-match": "*"})
    assert (exactly.status_code, exactly.json()["available"]) == (200, "0.00")


async def test_nobody_approves_a_request_of_their_own(manager, make_request, approve, published):
    requested = await make_request(person=manager)
    refused = await approve(manager, requested)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/own-request")
    assert await published(ExpenditureApproved) == []


async def test_nor_as_another_user(personnel, make_client, manager, make_request, approve):
    """The same person, who logs in as another user since."""
    requested = await make_request(person=manager)
    path = f"/api/v1/employees/{manager.employee_id}"
    user_id = uuid4()
    await personnel.patch(path, json={"user_id": str(user_id)}, headers={"if-match": "*"})
    manager.client = make_client(user_id=user_id)
    refused = await approve(manager, requested)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/own-request")


async def test_an_approver_must_be_employed(hire, make_client, make_request, approve):
    requested = await make_request()
    former = await hire("budget:approve", "personnel:read", ends_on="2020-12-31")
    former_answer = await approve(former, requested)
    former.client = make_client(user_id=uuid4())
    stranger_answer = await approve(former, requested)
    for answer in (former_answer, stranger_answer):
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/not-an-employee")


async def test_an_approver_who_has_left_approves_no_more(personnel, manager, make_request, approve):
    requested = await make_request()
    await leave(personnel, manager)
    refused = await approve(manager, requested)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-an-employee")


async def test_a_requester_must_still_be_employed(personnel, manager, member, make_request, approve, published):
    requested = await make_request()
    await leave(personnel, member)
    refused = await approve(manager, requested)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/requester-left")
    assert await published(ExpenditureApproved) == []


async def test_a_request_is_decided_once(manager, make_request, approve, published):
    approved, rejected = await make_request("1.00"), await make_request("2.00")
    assert (await approve(manager, approved)).status_code == 200
    assert (await reject(manager, rejected)).status_code == 200
    answers = [
        await approve(manager, approved, '"2"'),
        await approve(manager, approved),
        await reject(manager, approved, '"2"'),
        await approve(manager, rejected, '"2"'),
        await reject(manager, rejected),
    ]
    assert {(each.status_code, each.json()["type"]) for each in answers} == {(409, "/problems/already-decided")}
    assert len(await published(ExpenditureApproved)) == len(await published(ExpenditureRejected)) == 1


async def test_of_approvals_of_one_request_at_the_same_time_one_counts(
    client, allocation, manager, make_request, approve
):
    requested = await make_request("100.00")
    answers = await asyncio.gather(*(approve(manager, requested) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert (await client.get(f"/api/v1/allocations/{allocation['id']}")).json()["committed"] == "100.00"


async def test_a_rejection_commits_nothing(client, allocation, manager, make_request, published):
    before = count("rejected")
    rejected = await reject(manager, await make_request())
    assert (rejected.status_code, rejected.headers["etag"]) == (200, '"2"')
    assert (rejected.json()["status"], rejected.json()["reason"]) == ("rejected", "Too dear")
    assert (await client.get(f"/api/v1/allocations/{allocation['id']}")).json() == allocation
    assert [event.reason for event in await published(ExpenditureRejected)] == ["Too dear"]
    assert count("rejected") == before + 1


async def test_a_decision_must_name_the_version_that_it_is_about(manager, make_request, approve):
    requested = await make_request()
    path = f"{EXPENDITURES}/{requested['id']}"
    assert (await manager.client.post(f"{path}/approve")).status_code == 428
    assert (await manager.client.post(f"{path}/reject", json={"reason": "No"})).status_code == 428
    assert (await approve(manager, requested, '"2"')).status_code == 412
    assert (await reject(manager, requested, '"2"')).status_code == 412
    assert (await reject(manager, requested, reason="")).status_code == 422
    assert (await approve(manager, requested)).status_code == 200


async def test_deciding_needs_its_permissions(hire, make_request, approve):
    requested = await make_request()
    no_approver = await hire("budget:request", "budget:read", "budget:write", "personnel:read")
    blind = await hire("budget:approve")
    refused = await approve(blind, requested)
    assert (refused.status_code, refused.json()["missing"]) == (403, ["personnel:read"])
    assert (await approve(no_approver, requested)).status_code == 403
    assert (await reject(no_approver, requested)).status_code == 403


async def test_another_tenants_request_does_not_exist(make_client, make_request, approve, member):
    requested = await make_request()
    member.client = make_client(tenant_id=uuid4())
    answers = [
        await member.client.get(f"{EXPENDITURES}/{requested['id']}"),
        await approve(member, requested),
        await reject(member, requested),
    ]
    assert [(each.status_code, each.json()["type"]) for each in answers] == [
        (404, "/problems/expenditure-not-found")
    ] * 3
    assert (await member.client.get(EXPENDITURES)).json()["items"] == []
