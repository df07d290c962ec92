"""Employees and their appointments."""

from datetime import UTC, date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import Mapped, relationship

from libs.service_kit.entities import Entity
from services.personnel.database import Base


def today() -> date:
    """Today in UTC, the date that decides who is employed."""
    return datetime.now(UTC).date()


class Employee(Entity, Base):
    """A person with appointments in the past, now or in the future."""

    __tablename__ = "employees"
    __table_args__ = (
        UniqueConstraint("tenant_id", "number"),
        UniqueConstraint("tenant_id", "user_id"),
    )
    number: Mapped[str]
    name: Mapped[str]
    email: Mapped[str]
    user_id: Mapped[UUID | None]
    """The user of the auth service that this person logs in as."""
    linked_by: Mapped[UUID | None]
    """The user who has said so."""
    appointments: Mapped[list["Appointment"]] = relationship(lazy="raise", order_by="Appointment.starts_on")

    def on(self, day: date) -> "Appointment | None":
        """The appointment that covers this day."""
        return next((each for each in self.appointments if each.covers(day)), None)

    @property
    def is_employed(self) -> bool:
        """Whether an appointment covers today."""
        return self.on(today()) is not None


class Appointment(Entity, Base, is_listed=False):
    """A term in one department. The terms of one person never overlap."""

    __tablename__ = "appointments"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "employee_id"], ["employees.tenant_id", "employees.id"]),
        ForeignKeyConstraint(["tenant_id", "department_id"], ["departments.tenant_id", "departments.id"]),
        CheckConstraint("ends_on >= starts_on", name="order"),
        ExcludeConstraint(
            ("tenant_id", "="),
            ("employee_id", "="),
            (text("daterange(starts_on, ends_on, '[]')"), "&&"),
            name="ex_appointments_overlap",
        ),
        Index("ix_appointments_employee", "tenant_id", "employee_id"),
        Index("ix_appointments_department", "tenant_id", "department_id"),
    )
    employee_id: Mapped[UUID]
    department_id: Mapped[UUID]
    title: Mapped[str]
    starts_on: Mapped[date]
    ends_on: Mapped[date | None]
    """The last day; None while no end is known."""

    def covers(self, day: date) -> bool:
        """Whether it has begun by this day, and has not ended before it."""
        return self.starts_on <= day <= (self.ends_on or date.max)
