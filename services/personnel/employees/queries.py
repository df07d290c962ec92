"""Reads and locks of employees, with their appointments."""

from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from services.personnel.employees.models import Appointment, Employee, today


def employees(tenant_id: UUID, *, department_id: UUID | None = None, user_id: UUID | None = None) -> Select[Employee]:
    """The tenant's employees: all, or those who work in a department today, or who log in as a user."""
    query = select(Employee).where(Employee.tenant_id == tenant_id).options(selectinload(Employee.appointments))
    if department_id:
        query = query.where(
            Employee.id.in_(
                select(Appointment.employee_id).where(
                    Appointment.tenant_id == tenant_id,
                    Appointment.department_id == department_id,
                    Appointment.starts_on <= today(),
                    (Appointment.ends_on >= today()) | Appointment.ends_on.is_(None),
                )
            )
        )
    if user_id:
        query = query.where(Employee.user_id == user_id)
    return query


def count_staff(tenant_id: UUID) -> Select[int]:
    """How many people are employed, now or later."""
    return select(func.count(Appointment.employee_id.distinct())).where(
        Appointment.tenant_id == tenant_id, (Appointment.ends_on >= today()) | Appointment.ends_on.is_(None)
    )


async def find(session: AsyncSession, tenant_id: UUID, employee_id: UUID) -> Employee | None:
    """The employee with this id."""
    return await session.scalar(employees(tenant_id).where(Employee.id == employee_id))


async def lock(session: AsyncSession, tenant_id: UUID, employee_id: UUID) -> Employee | None:
    """The employee with this id, changed by nobody else until the transaction ends."""
    return await session.scalar(employees(tenant_id).where(Employee.id == employee_id).with_for_update(of=Employee))
