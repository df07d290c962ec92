"""The organisation chart in answers."""

from datetime import date
from uuid import UUID

from pydantic import Field

from libs.service_kit.fields import Output


class ChartPerson(Output):
    """A person, in the department in which they work on that day."""

    employee_id: UUID
    name: str
    title: str = Field(description="The title of the appointment")


class ChartDepartment(Output):
    """A department of the chart, with the people who are appointed to itself."""

    id: UUID
    code: str
    name: str
    parent_id: UUID | None
    depth: int = Field(description="How many departments of the chart it is below")
    people: list[ChartPerson]


class ChartOut(Output):
    """The tree as a list, in the order in which it is drawn: each department is followed by all that are below it."""

    on: date
    departments: list[ChartDepartment]
