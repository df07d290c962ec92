"""Employees and appointments in requests and answers."""

from datetime import date, datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from libs.service_kit.fields import Day, Email, Input, Name, Output

EmployeeNumber = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,29}$")]


class AppointmentCreate(Input):
    """A term in one department."""

    department_id: UUID
    title: Name
    starts_on: Day
    ends_on: Day | None = Field(default=None, description="The last day; null while no end is known")

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        if self.ends_on and self.ends_on < self.starts_on:
            raise ValueError("`ends_on` is before `starts_on`")
        return self


class Transfer(Input):
    """A move into another department; the present appointment ends the day before."""

    department_id: UUID
    title: Name | None = Field(default=None, description="The new title; null for no change")
    starts_on: Day = Field(description="The first day in the other department")


class Leave(Input):
    """The end of an employment."""

    ends_on: Day = Field(description="The last day")


class EmployeeCreate(Input):
    """A hire: a person and their first appointment."""

    number: EmployeeNumber
    name: Name
    email: Email
    user_id: UUID | None = Field(default=None, description="The user that this person logs in as")
    appointment: AppointmentCreate


class EmployeeUpdate(Input):
    """The fields of an employee that can change; those that are missing stay."""

    name: Name | None = Field(default=None, description="The new name; null for no change")
    email: Email | None = Field(default=None, description="The new e-mail; null for no change")
    user_id: UUID | None = Field(default=None, description="The user that this person logs in as; null for none")


class AppointmentOut(Output):
    """A term in one department."""

    id: UUID
    department_id: UUID
    title: str
    starts_on: date
    ends_on: date | None = Field(description="The last day; null while no end is known")


class EmployeeOut(Output):
    """An employee, with all appointments, the earliest first."""

    id: UUID
    number: str
    name: str
    email: str
    user_id: UUID | None
    linked_by: UUID | None = Field(description="The user who has linked or unlinked `user_id`")
    employed: bool = Field(validation_alias="is_employed", description="Whether an appointment covers today (UTC)")
    appointments: list[AppointmentOut]
    created_at: datetime
    updated_at: datetime
    version: int
