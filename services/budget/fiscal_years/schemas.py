"""Fiscal years in requests and answers."""

from datetime import date, datetime
from typing import Self
from uuid import UUID

from pydantic import Field, model_validator

from libs.service_kit.fields import Day, Input, Name, Output


class FiscalYearCreate(Input):
    """A new fiscal year."""

    name: Name
    starts_on: Day
    ends_on: Day = Field(description="The last day")

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        if self.ends_on < self.starts_on:
            raise ValueError("`ends_on` is before `starts_on`")
        return self


class FiscalYearOut(Output):
    """A fiscal year."""

    id: UUID
    name: str
    starts_on: date
    ends_on: date = Field(description="The last day")
    created_at: datetime
    updated_at: datetime
    version: int
