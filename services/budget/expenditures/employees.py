"""What budget asks personnel, always with the caller's own token: who somebody is, and whether they are employed."""

from dataclasses import dataclass
from uuid import UUID

from libs.observability import get_logger
from libs.service_kit.auth import Principal
from libs.service_kit.client import Refused, ServiceClient
from libs.service_kit.errors import Unavailable
from services.budget.expenditures.errors import NotAnEmployee

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Employee:
    """An employee, as far as budget cares."""

    id: UUID
    is_employed: bool


async def find(personnel: ServiceClient, actor: Principal, employee_id: UUID) -> Employee | None:
    """The employee with this id. Raises `Unavailable` when personnel does not answer."""
    return await _ask(personnel, actor, f"/api/v1/employees/{employee_id}")


async def require_own(personnel: ServiceClient, actor: Principal) -> Employee:
    """The employee that the actor is. Raises `NotAnEmployee` for anybody who is not employed today."""
    employee = await _ask(personnel, actor, "/api/v1/employees/me")
    if employee is None or not employee.is_employed:
        raise NotAnEmployee()
    return employee


async def _ask(personnel: ServiceClient, actor: Principal, path: str) -> Employee | None:
    try:
        document = await personnel.get(path, token=actor.token)
    except Refused as refused:
        if refused.status == 404:
            return None
        # Not the caller's fault, unless the token has ended since: then the next try is answered 401 by ourselves.
        log.warning("personnel refused a question", path=path, status=refused.status)
        raise Unavailable("Personnel cannot be asked now.", headers={"Retry-After": "2"}) from refused
    return Employee(id=UUID(document["id"]), is_employed=document["employed"])
