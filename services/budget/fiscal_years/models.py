"""Fiscal years."""

from datetime import date

from sqlalchemy import CheckConstraint, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import Mapped

from libs.service_kit.entities import Entity
from services.budget.database import Base


class FiscalYear(Entity, Base):
    """A period for which money is planned. Fiscal years of one tenant never overlap."""

    __tablename__ = "fiscal_years"
    __table_args__ = (
        CheckConstraint("ends_on >= starts_on", name="order"),
        ExcludeConstraint(
            ("tenant_id", "="),
            (text("daterange(starts_on, ends_on, '[]')"), "&&"),
            name="ex_fiscal_years_overlap",
        ),
    )
    name: Mapped[str]
    starts_on: Mapped[date]
    ends_on: Mapped[date]
    """The last day."""
