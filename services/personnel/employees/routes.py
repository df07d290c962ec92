"""Employees over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response

from libs.service_kit.auth import Caller, Principal, requires
from libs.service_kit.errors import problems
from libs.service_kit.idempotency import CreateOnce
from libs.service_kit.pages import BadCursor, Page, PageWindow, page
from libs.service_kit.plans import PlanLimitReached
from libs.service_kit.preconditions import IfMatch, with_etag
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import DatabaseSession
from services.personnel.employees import queries, service
from services.personnel.employees.errors import (
    AppointmentBegun,
    AppointmentOverlap,
    EmployeeNotFound,
    EmployeeNumberTaken,
    EmployeeUserTaken,
    NotAnEmployee,
    NotEmployedThen,
    NothingTransferred,
    UnknownDepartment,
)
from services.personnel.employees.models import Employee
from services.personnel.employees.schemas import (
    AppointmentCreate,
    EmployeeCreate,
    EmployeeOut,
    EmployeeUpdate,
    Leave,
    Transfer,
)

router = NounRouter(prefix="/api/v1/employees", tags=["employees"])
Reader = Annotated[Principal, Depends(requires("personnel:read"))]
Writer = Annotated[Principal, Depends(requires("personnel:write"))]


@router.post(
    "",
    status_code=201,
    response_model=EmployeeOut,
    responses=problems(EmployeeNumberTaken, EmployeeUserTaken, PlanLimitReached, UnknownDepartment),
)
async def hire_employee(wanted: EmployeeCreate, actor: Writer, session: DatabaseSession, once: CreateOnce) -> Response:
    """Hire a person, with a first appointment."""
    employee = await service.hire(session, actor, wanted)
    location = f"/api/v1/employees/{employee.id}"
    return await once.created(EmployeeOut.of(employee), location=location, version=employee.version)


@router.get("", responses=problems(BadCursor))
async def list_employees(
    actor: Reader,
    session: DatabaseSession,
    window: PageWindow,
    department_id: Annotated[UUID | None, Query(description="Only employees who work in this department today")] = None,
    user_id: Annotated[UUID | None, Query(description="Only the employee who logs in as this user")] = None,
) -> Page[EmployeeOut]:
    """All employees, the newest first."""
    query = queries.employees(actor.tenant_id, department_id=department_id, user_id=user_id)
    return await page(session, query, Employee, window, EmployeeOut.model_validate)


@router.get("/me", response_model=EmployeeOut, responses=problems(NotAnEmployee))
async def get_own_record(actor: Caller, session: DatabaseSession, response: Response) -> Employee:
    """The caller's own record, which needs no permission."""
    return with_etag(response, await service.get_own(session, actor))


# With `:uuid`, a PATCH of `/me` is not mistaken for that of an employee with a malformed id.
@router.get("/{employee_id:uuid}", response_model=EmployeeOut, responses=problems(EmployeeNotFound))
async def get_employee(employee_id: UUID, actor: Reader, session: DatabaseSession, response: Response) -> Employee:
    """One employee."""
    return with_etag(response, await service.get(session, actor, employee_id))


@router.patch(
    "/{employee_id:uuid}",
    response_model=EmployeeOut,
    responses=problems(EmployeeNotFound, EmployeeUserTaken),
)
async def update_employee(
    employee_id: UUID,
    wanted: EmployeeUpdate,
    actor: Writer,
    session: DatabaseSession,
    expected: IfMatch,
    response: Response,
) -> Employee:
    """Change an employee's own data."""
    return with_etag(response, await service.update(session, actor, employee_id, expected, wanted))


@router.post(
    "/{employee_id}/appointments",
    status_code=201,
    response_model=EmployeeOut,
    responses=problems(EmployeeNotFound, AppointmentOverlap, PlanLimitReached, UnknownDepartment),
)
async def appoint_employee(
    employee_id: UUID, wanted: AppointmentCreate, actor: Writer, session: DatabaseSession, once: CreateOnce
) -> Response:
    """Add an appointment. The answer is the employee, whose version increases."""
    employee = await service.appoint(session, actor, employee_id, wanted)
    location = f"/api/v1/employees/{employee.id}"
    return await once.created(EmployeeOut.of(employee), location=location, version=employee.version)


@router.post(
    "/{employee_id}/transfer",
    response_model=EmployeeOut,
    responses=problems(EmployeeNotFound, NotEmployedThen, NothingTransferred, UnknownDepartment),
)
async def transfer_employee(
    employee_id: UUID,
    wanted: Transfer,
    actor: Writer,
    session: DatabaseSession,
    expected: IfMatch,
    response: Response,
) -> Employee:
    """Let an employee work in another department from a day on; the appointment before ends the day before."""
    return with_etag(response, await service.transfer(session, actor, employee_id, expected, wanted))


@router.post(
    "/{employee_id}/leave",
    response_model=EmployeeOut,
    responses=problems(EmployeeNotFound, NotEmployedThen, AppointmentBegun),
)
async def end_employment(
    employee_id: UUID,
    wanted: Leave,
    actor: Writer,
    session: DatabaseSession,
    expected: IfMatch,
    response: Response,
) -> Employee:
    """Give an employee a last day. Appointments that would begin after it are cancelled; a new one hires them again."""
    return with_etag(response, await service.leave(session, actor, employee_id, expected, wanted))
