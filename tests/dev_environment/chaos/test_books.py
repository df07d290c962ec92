"""The books of `make chaos` notice each way in which an acknowledged write can be wrong, and nothing else."""

from collections import Counter
from typing import Any

import pytest

from tests.chaos.books import HIRED, REQUESTED, Found, Write, judge

APPROVED, REJECTED = "expenditure.approved.v1", "expenditure.rejected.v1"
TENANT = "harbour"


def expenditure(number: str, status: str, amount: str = "2.50") -> dict[str, Any]:
    return {"id": number, "purpose": f"key-{number}", "status": status, "amount": amount, "allocation_id": "a"}


def employee(number: str) -> dict[str, Any]:
    return {"id": number, "number": f"key-{number}"}


def write(number: str, *states: str, kind: str = "expenditure") -> Write:
    return Write(f"key-{number}", kind, TENANT, at=0.0, id=number if states else "", states={*states})


@pytest.fixture
def ledger() -> list[Write]:
    """One write of each kind and state, all of them acknowledged."""
    return [
        write("1", "requested"),
        write("2", "approved"),
        write("3", "rejected"),
        write("4", "hired", kind="employee"),
    ]


@pytest.fixture
def found() -> Found:
    """What the services show when nothing went wrong."""
    entries = [(REQUESTED, "1"), (REQUESTED, "2"), (APPROVED, "2"), (REQUESTED, "3"), (REJECTED, "3"), (HIRED, "4")]
    return Found(
        expenditures=[expenditure("1", "requested"), expenditure("2", "approved"), expenditure("3", "rejected")],
        employees=[employee("4")],
        allocations=[{"id": "a", "amount": "2.50", "committed": "2.50"}],
        entries=Counter(entries),
    )


def test_right_books_are_right(ledger, found):
    judged = judge(ledger, {TENANT: found})
    assert (judged.lost, judged.doubled, judged.money) == ({}, {}, [])
    assert found.events() == found.entries.keys()


@pytest.mark.parametrize("index", range(3))
def test_an_expenditure_that_is_not_there_is_lost(ledger, found, index):
    gone = found.expenditures.pop(index)
    assert [*judge(ledger, {TENANT: found}).lost] == [gone["purpose"]]


def test_an_employee_who_is_not_there_is_lost(ledger, found):
    found.employees.clear()
    assert [*judge(ledger, {TENANT: found}).lost] == ["key-4"]


@pytest.mark.parametrize(("index", "status"), [(0, "rejected"), (1, "requested"), (2, "requested")])
def test_an_expenditure_in_another_state_than_the_acknowledged_one_is_lost(ledger, found, index, status):
    found.expenditures[index]["status"] = status
    assert f"is {status}, not" in judge(ledger, {TENANT: found}).lost[f"key-{index + 1}"]


def test_a_write_under_another_id_than_the_answered_one_is_lost(ledger, found):
    found.employees[0]["id"] = "5"
    assert "4 is not there" in judge(ledger, {TENANT: found}).lost["key-4"]


@pytest.mark.parametrize("event", [(REQUESTED, "1"), (APPROVED, "2"), (REJECTED, "3"), (HIRED, "4")])
def test_an_event_without_an_entry_in_the_audit_trail_is_lost(ledger, found, event):
    del found.entries[event]
    judged = judge(ledger, {TENANT: found})
    assert ([*judged.lost], judged.doubled) == ([f"key-{event[1]}"], {})


@pytest.mark.parametrize("event", [(REQUESTED, "1"), (APPROVED, "2"), (REJECTED, "3"), (HIRED, "4")])
def test_an_event_with_two_entries_in_the_audit_trail_is_doubled(ledger, found, event):
    found.entries[event] += 1
    judged = judge(ledger, {TENANT: found})
    assert (judged.lost, [*judged.doubled]) == ({}, [f"key-{event[1]}"])


def test_two_things_made_with_one_key_are_doubled(ledger, found):
    found.expenditures.append(expenditure("1", "requested") | {"id": "5"})
    found.entries[REQUESTED, "5"] = 1
    judged = judge(ledger, {TENANT: found})
    assert (judged.lost, [*judged.doubled]) == ({}, ["key-1"])


@pytest.mark.parametrize("is_there", [True, False])
def test_a_write_that_was_never_answered_may_be_there_or_not(ledger, found, is_there):
    ledger.append(write("5"))
    if is_there:
        found.expenditures.append(expenditure("5", "requested"))
        found.entries[REQUESTED, "5"] = 1
    judged = judge(ledger, {TENANT: found})
    assert (judged.lost, judged.doubled) == ({}, {})


def test_a_write_that_was_never_answered_is_not_there_twice(ledger, found):
    ledger.append(write("5"))
    found.expenditures += [expenditure("5", "requested"), expenditure("5", "requested") | {"id": "6"}]
    found.entries.update([(REQUESTED, "5"), (REQUESTED, "6")])
    assert [*judge(ledger, {TENANT: found}).doubled] == ["key-5"]


@pytest.mark.parametrize("status", ["requested", "approved"])
def test_a_decision_that_was_never_answered_may_have_been_made_or_not(ledger, found, status):
    ledger.append(write("5", "requested", "approved"))
    found.expenditures.append(expenditure("5", status, "0.00"))
    found.entries.update([(REQUESTED, "5")] + [(APPROVED, "5")] * (status == "approved"))
    assert judge(ledger, {TENANT: found}).lost == {}


@pytest.mark.parametrize("committed", ["2.49", "2.51", "0.00"])
def test_committed_money_is_that_of_the_approvals(ledger, found, committed):
    found.allocations[0]["committed"] = committed
    (wrong,) = judge(ledger, {TENANT: found}).money
    assert wrong == f"harbour: allocation a has {committed} committed, and 2.50 approved"


def test_no_more_is_approved_than_the_allocation_has(ledger, found):
    found.allocations[0]["amount"] = "2.49"
    (wrong,) = judge(ledger, {TENANT: found}).money
    assert wrong == "harbour: allocation a has 2.49, and 2.50 approved"
