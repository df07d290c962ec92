"""Calls to personnel with the caller's own token: which employee a user is, and whether they are employed."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from libs.service_kit.answers import Refused
from libs.service_kit.auth import Principal
from libs.service_kit.client import ServiceClient, unanswered
from services.budget.expenditures.errors import NotAnEmployee


@dataclass(frozen=True, slots=True)
class Employee:
    """What budget needs to know about an employee."""

    id: UUID
    is_employed: bool
    linked_by: UUID | None
    """The user who has linked the employee to a user."""


async def find(personnel: ServiceClient, actor: Principal, employee_id: UUID) -> Employee | None:
    """The employee with this id, or None. Raises `Unavailable` when personnel does not answer."""
    return await _ask(personnel, actor, str(employee_id), "/api/v1/employees/{employee_id}")


async def require_own(personnel: ServiceClient, actor: Principal) -> Employee:
    """The actor's own record. Raises `NotAnEmployee` unless the actor is employed today."""
    employee = await _ask(personnel, actor, "me", "/api/v1/employees/me")
    if employee is None or not employee.is_employed:
        raise NotAnEmployee()
    return employee


async def _ask(personnel: ServiceClient, actor: Principal, who: str, route: str) -> Employee | None:
    try:
        return await personnel.get(f"/api/v1/employees/{who}", _read, route=route, token=actor.token)
    except Refused as refused:
        if refused.status == 404:
            return None
        raise unanswered("personnel", route, refused) from refused


def _read(document: Any) -> Employee:
    linked_by = document["linked_by"]
    return Employee(UUID(document["id"]), document["employed"], UUID(linked_by) if linked_by else None)
