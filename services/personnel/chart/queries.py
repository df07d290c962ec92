"""The read of the organisation chart."""

from datetime import date
from uuid import UUID

from sqlalchemy import Select, and_, select

from services.personnel.departments.models import Department
from services.personnel.employees.models import Appointment, Employee
from services.personnel.employees.queries import covers


def lines(tenant_id: UUID, day: date, top_id: UUID | None) -> Select[Department, Employee, Appointment]:
    """A row for each person who works in a department that day, and one with None for each department without people.

    It is one statement, so that the departments and the people are of the same moment.
    """
    query = (
        select(Department, Employee, Appointment)
        .outerjoin(
            Appointment,
            and_(
                Appointment.tenant_id == Department.tenant_id, Appointment.department_id == Department.id, covers(day)
            ),
        )
        .outerjoin(Employee, and_(Employee.tenant_id == Appointment.tenant_id, Employee.id == Appointment.employee_id))
        .where(Department.tenant_id == tenant_id)
        .order_by(Department.name, Department.code, Employee.name, Employee.number)
    )
    if top_id:
        ids = select(Department.id).where(Department.tenant_id == tenant_id)
        part = ids.where(Department.id == top_id).cte("part", recursive=True)
        query = query.where(
            Department.id.in_(select(part.union(ids.join(part, Department.parent_id == part.c.id)).c.id))
        )
    return query
