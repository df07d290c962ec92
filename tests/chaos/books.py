"""The books: what was acknowledged, against what the services show once everything is over."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

REQUESTED = "expenditure.requested.v1"
DECIDED = {"approved": "expenditure.approved.v1", "rejected": "expenditure.rejected.v1"}
HIRED = "employee.hired.v1"


@dataclass
class Write:
    """Something that a writer has asked for: one expenditure, or one employee."""

    key: str
    """Its Idempotency-Key, which stands in what it makes too: in the purpose, or as the employee's number."""
    kind: str
    """`expenditure` or `employee`."""
    tenant: str
    at: float
    """When its last step was first sent, in seconds since 1970."""
    id: str = ""
    """The id that was answered, empty as long as there is no answer."""
    states: set[str] = field(default_factory=set[str])
    """The states that it may be in: one, unless the answer to its last step never came."""


@dataclass
class Found:
    """What the services of one tenant show."""

    expenditures: list[dict[str, Any]]
    employees: list[dict[str, Any]]
    allocations: list[dict[str, Any]]
    entries: Counter[tuple[str, str]]
    """How many entries the audit trail has of each type of event and entity."""

    def events(self) -> set[tuple[str, str]]:
        """The events that must be in the audit trail, by what is there."""
        made = {(REQUESTED, each["id"]) for each in self.expenditures}
        decided = {(DECIDED[each["status"]], each["id"]) for each in self.expenditures if each["status"] in DECIDED}
        return made | decided | {(HIRED, each["id"]) for each in self.employees}


@dataclass
class Judged:
    """The writes that are not there as they were acknowledged, those that happened twice, and what money is wrong."""

    lost: dict[str, str] = field(default_factory=dict[str, str])
    """What is missing, by key; so is `doubled`."""
    doubled: dict[str, str] = field(default_factory=dict[str, str])
    money: list[str] = field(default_factory=list[str])


def judge(writes: Iterable[Write], found: Mapping[str, Found]) -> Judged:
    """Compare the writes with what was found of each tenant."""
    judged = Judged()
    things = {tenant: _by_key(each) for tenant, each in found.items()}
    for write in writes:
        same = things[write.tenant].get(write.key, [])
        entries = found[write.tenant].entries
        counts = {each: entries[each] for thing in same for each in _events(write, thing)}
        if lost := _lost(write, same) or next((f"no entry {each}" for each, count in counts.items() if not count), ""):
            judged.lost[write.key] = lost
        if len(same) > 1:
            judged.doubled[write.key] = f"there are {len(same)} of it"
        elif doubled := [f"{count} entries {each}" for each, count in counts.items() if count > 1]:
            judged.doubled[write.key] = doubled[0]
    for tenant, each in found.items():
        judged.money += [f"{tenant}: {wrong}" for wrong in unbalanced(each)]
    return judged


def _by_key(found: Found) -> dict[str, list[dict[str, Any]]]:
    things: dict[str, list[dict[str, Any]]] = {}
    for each in found.expenditures:
        things.setdefault(each["purpose"], []).append(each)
    for each in found.employees:
        things.setdefault(each["number"], []).append(each)
    return things


def _lost(write: Write, same: list[dict[str, Any]]) -> str:
    if not write.id:  # never answered: it may be there or not
        return ""
    thing = next((each for each in same if each["id"] == write.id), None)
    if thing is None:
        return f"{write.kind} {write.id} is not there"
    if thing.get("status", "hired") not in write.states:
        return f"{write.kind} {write.id} is {thing['status']}, not {' or '.join(sorted(write.states))}"
    return ""


def _events(write: Write, thing: Mapping[str, Any]) -> list[tuple[str, str]]:
    types = [HIRED] if write.kind == "employee" else [REQUESTED, DECIDED.get(thing["status"], "")]
    return [(each, thing["id"]) for each in types if each]


def unbalanced(found: Found) -> list[str]:
    """The allocations whose committed money is not that of their approvals, or is more than they have."""
    approved: Counter[str] = Counter()
    for each in found.expenditures:
        if each["status"] == "approved":
            approved[each["allocation_id"]] += Decimal(each["amount"])
    wrong: list[str] = []
    for each in found.allocations:
        committed, amount, spent = Decimal(each["committed"]), Decimal(each["amount"]), approved[each["id"]]
        if committed != spent:
            wrong.append(f"allocation {each['id']} has {committed} committed, and {spent} approved")
        if spent > amount:
            wrong.append(f"allocation {each['id']} has {amount}, and {spent} approved")
    return wrong
