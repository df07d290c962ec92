"""The rules of employees: hiring them, appointing them again, changing their data."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.personnel import EmployeeAppointed, EmployeeHired, EmployeeUpdated
from libs.service_kit.auth import Principal
from libs.service_kit.errors import found
from libs.service_kit.events.outbox import publish
from libs.service_kit.preconditions import Expected
from services.personnel.employees import queries
from services.personnel.employees.errors import EmployeeNotFound, NotAnEmployee
from services.personnel.employees.models import Appointment, Employee
from services.personnel.employees.schemas import AppointmentCreate, EmployeeCreate, EmployeeUpdate


async def get(session: AsyncSession, actor: Principal, employee_id: UUID) -> Employee:
    """The employee with this id. Raises `EmployeeNotFound`."""
    return found(await queries.find(session, actor.tenant_id, employee_id), EmployeeNotFound, employee_id)


async def get_own(session: AsyncSession, actor: Principal) -> Employee:
    """The employee who logs in as the actor. Raises `NotAnEmployee`."""
    employee = await session.scalar(queries.employees(actor.tenant_id, user_id=actor.id))
    if employee is None:
        raise NotAnEmployee()
    return employee


async def hire(session: AsyncSession, actor: Principal, wanted: EmployeeCreate) -> Employee:
    """Hire a person, with a first appointment."""
    person = wanted.model_dump(exclude={"appointment"})
    first = Appointment(tenant_id=actor.tenant_id, **wanted.appointment.model_dump())
    employee = Employee(tenant_id=actor.tenant_id, **person, appointments=[first])
    session.add(employee)
    await session.flush()
    publish(
        session,
        EmployeeHired(
            employee_id=employee.id,
            number=employee.number,
            department_id=first.department_id,
            starts_on=first.starts_on,
        ),
    )
    return employee


async def appoint(session: AsyncSession, actor: Principal, employee_id: UUID, wanted: AppointmentCreate) -> Employee:
    """Give an employee a further appointment, which overlaps no other."""
    employee = found(await queries.lock(session, actor.tenant_id, employee_id), EmployeeNotFound, employee_id)
    appointment = Appointment(tenant_id=actor.tenant_id, employee_id=employee.id, **wanted.model_dump())
    session.add(appointment)
    # Clients see the appointments as part of the employee, so a new one must change the employee's version.
    employee.updated_at = datetime.now(UTC)
    await session.flush()
    await session.refresh(employee, ["appointments"])
    publish(
        session,
        EmployeeAppointed(
            employee_id=employee.id,
            appointment_id=appointment.id,
            department_id=appointment.department_id,
            starts_on=appointment.starts_on,
            ends_on=appointment.ends_on,
        ),
    )
    return employee


async def update(
    session: AsyncSession, actor: Principal, employee_id: UUID, expected: Expected, wanted: EmployeeUpdate
) -> Employee:
    """Change an employee's own data."""
    employee = await get(session, actor, employee_id)
    expected.check(employee)
    employee.name = wanted.name or employee.name
    employee.email = wanted.email or employee.email
    if "user_id" in wanted.model_fields_set:
        employee.user_id = wanted.user_id
    if session.is_modified(employee):
        await session.flush()
        publish(session, EmployeeUpdated(employee_id=employee.id))
    return employee
