"""The rules of employees: hiring, appointing, transferring and dismissing them, changing their data."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.personnel import (
    EmployeeAppointed,
    EmployeeHired,
    EmployeeLeft,
    EmployeeTransferred,
    EmployeeUpdated,
)
from libs.service_kit import plans
from libs.service_kit.auth import Principal
from libs.service_kit.errors import found
from libs.service_kit.events.outbox import publish
from libs.service_kit.preconditions import Expected
from services.personnel.employees import queries
from services.personnel.employees.errors import (
    AppointmentBegun,
    EmployeeNotFound,
    NotAnEmployee,
    NotEmployedThen,
    NothingTransferred,
)
from services.personnel.employees.models import Appointment, Employee, today
from services.personnel.employees.schemas import (
    AppointmentCreate,
    EmployeeCreate,
    EmployeeUpdate,
    Leave,
    Transfer,
)


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
    await plans.make_room(session, actor.tenant_id, "employees", queries.count_staff(actor.tenant_id))
    person = wanted.model_dump(exclude={"appointment"})
    first = Appointment(tenant_id=actor.tenant_id, **wanted.appointment.model_dump())
    employee = Employee(tenant_id=actor.tenant_id, **person, appointments=[first])
    employee.linked_by = actor.id if employee.user_id else None
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
    employee = await _lock(session, actor, employee_id)
    if not any(each.ends_on is None or each.ends_on >= today() for each in employee.appointments):
        await plans.make_room(session, actor.tenant_id, "employees", queries.count_staff(actor.tenant_id))
    appointment = Appointment(tenant_id=actor.tenant_id, employee_id=employee.id, **wanted.model_dump())
    session.add(appointment)
    await _flush(session, employee)
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


async def transfer(
    session: AsyncSession, actor: Principal, employee_id: UUID, expected: Expected, wanted: Transfer
) -> Employee:
    """End the appointment of that time the day before, and let its remaining term pass in another department."""
    employee = await _lock(session, actor, employee_id)
    expected.check(employee)
    present = employee.on(wanted.starts_on)
    if present is None:
        raise NotEmployedThen()
    if present.department_id == wanted.department_id or present.starts_on == wanted.starts_on:
        raise NothingTransferred()
    following = Appointment(
        tenant_id=actor.tenant_id,
        employee_id=employee.id,
        department_id=wanted.department_id,
        title=wanted.title or present.title,
        starts_on=wanted.starts_on,
        ends_on=present.ends_on,
    )
    present.ends_on = wanted.starts_on - timedelta(days=1)
    await session.flush()  # before the next one is inserted: at no time may the two overlap
    session.add(following)
    await _flush(session, employee)
    publish(
        session,
        EmployeeTransferred(
            employee_id=employee.id,
            appointment_id=following.id,
            department_id=following.department_id,
            starts_on=following.starts_on,
            ends_on=following.ends_on,
        ),
    )
    return employee


async def leave(
    session: AsyncSession, actor: Principal, employee_id: UUID, expected: Expected, wanted: Leave
) -> Employee:
    """Let this day be the last one: end the appointment that covers it, and cancel those that would begin after it."""
    employee = await _lock(session, actor, employee_id)
    expected.check(employee)
    present = employee.on(wanted.ends_on)
    later = [each for each in employee.appointments if each.starts_on > wanted.ends_on]
    if present is None and not later:
        raise NotEmployedThen()
    if any(each.starts_on <= today() for each in later):
        raise AppointmentBegun()
    for each in later:
        await session.delete(each)
    if present:
        present.ends_on = wanted.ends_on
    await _flush(session, employee)
    publish(session, EmployeeLeft(employee_id=employee.id, ends_on=wanted.ends_on))
    return employee


async def update(
    session: AsyncSession, actor: Principal, employee_id: UUID, expected: Expected, wanted: EmployeeUpdate
) -> Employee:
    """Change an employee's own data."""
    employee = await get(session, actor, employee_id)
    expected.check(employee)
    employee.name = wanted.name or employee.name
    employee.email = wanted.email or employee.email
    if "user_id" in wanted.model_fields_set and wanted.user_id != employee.user_id:
        employee.user_id, employee.linked_by = wanted.user_id, actor.id
    if session.is_modified(employee):
        await session.flush()
        publish(session, EmployeeUpdated(employee_id=employee.id))
    return employee


async def _lock(session: AsyncSession, actor: Principal, employee_id: UUID) -> Employee:
    return found(await queries.lock(session, actor.tenant_id, employee_id), EmployeeNotFound, employee_id)


async def _flush(session: AsyncSession, employee: Employee) -> None:
    """Write the changed appointments. Clients see them as part of the employee, so its version must change too."""
    employee.updated_at = datetime.now(UTC)
    await session.flush()
    await session.refresh(employee, ["appointments"])
