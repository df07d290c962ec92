"""The events of the personnel service: departments, employees and their appointments."""

from datetime import date
from typing import ClassVar
from uuid import UUID

from libs.contracts.events import Event


class DepartmentCreated(Event):
    """A department was created."""

    type: ClassVar[str] = "department.created.v1"
    department_id: UUID
    code: str
    name: str
    parent_id: UUID | None


class DepartmentUpdated(Event):
    """A department was renamed or moved below another."""

    type: ClassVar[str] = "department.updated.v1"
    department_id: UUID
    name: str
    parent_id: UUID | None


class EmployeeHired(Event):
    """A person has been hired, with a first appointment."""

    type: ClassVar[str] = "employee.hired.v1"
    employee_id: UUID
    number: str
    department_id: UUID
    starts_on: date


class EmployeeUpdated(Event):
    """An employee's own data changed."""

    type: ClassVar[str] = "employee.updated.v1"
    employee_id: UUID


class EmployeeTransferred(Event):
    """An employee works in another department from a day on."""

    type: ClassVar[str] = "employee.transferred.v1"
    employee_id: UUID
    appointment_id: UUID
    department_id: UUID
    starts_on: date
    ends_on: date | None


class EmployeeLeft(Event):
    """An employee has a last day, after which no appointment remains."""

    type: ClassVar[str] = "employee.left.v1"
    employee_id: UUID
    ends_on: date


class EmployeeAppointed(Event):
    """An employee has a further appointment: hired again, or for another term."""

    type: ClassVar[str] = "employee.appointed.v1"
    employee_id: UUID
    appointment_id: UUID
    department_id: UUID
    starts_on: date
    ends_on: date | None
