"""Reads and locks of employees, with their appointments."""

from datetime import date
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from services.personnel.employees.models import Appointment, Employee, today


def covers(day: date) -> ColumnElement[bool]:
    """That an appointment covers this day, as `Appointment.covers` says of one that is loaded."""
    return (Appointment.starts_on <= day) & _lasts_until(day)


def employees(tenant_id: UUID, *, department_id: UUID | None = None, user_id: UUID | None = None) -> Select[Employee]:
    """The tenant's employees: all, or those who work in a department today, or who log in as a user."""
    query = select(Employee).where(Employee.tenant_id == tenant_id).options(selectinload(Employee.appointments))
    if department_id:
        query = query.where(
            Employee.id.in_(
                select(Appointment.employee_id).where(
                    Appointment.tenant_id == tenant_id,
                    Appointment.department_id == department_id,
                    covers(today()),
                )
            )
        )
    if user_id:
        query = query.where(Employee.user_id == user_id)
    return query


def count_staff(tenant_id: UUID) -> Select[int]:
    """How many people are employed, now or later."""
    return select(func.count(Appointment.employee_id.distinct())).where(
        Appointment.tenant_id == tenant_id, _lasts_until(today())
    )


async def find(session: AsyncSession, tenant_id: UUID, employee_id: UUID) -> Employee | None:
    """The employee with this id."""
    return await session.scalar(employees(tenant_id).where(Employee.id == employee_id))


async def lock(session: AsyncSession, tenant_id: UUID, employee_id: UUID) -> Employee | None:
    """The employee with this id, changed by nobody else until the transaction ends."""
    return await session.scalar(employees(tenant_id).where(Employee.id == employee_id).with_for_update(of=Employee))


def _lasts_until(day: date) -> ColumnElement[bool]:
    return (Appointment.ends_on >= day) | Appointment.ends_on.is_(None)
