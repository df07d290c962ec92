"""Fiscal years."""

from datetime import date

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import Mapped

from libs.service_kit.database import Entity
from services.budget.database import Base


class FiscalYear(Entity, Base):
    """A time that money is planned for. Those of one tenant never overlap."""

    __tablename__ = "fiscal_years"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        CheckConstraint("ends_on >= starts_on", name="order"),
        ExcludeConstraint(
            ("tenant_id", "="),
            (text("daterange(starts_on, ends_on, '[]')"), "&&"),
            name="ex_fiscal_years_overlap",
        ),
        Index("ix_fiscal_years_newest", "tenant_id", text("created_at desc"), text("id desc")),
    )
    name: Mapped[str]
    starts_on: Mapped[date]
    ends_on: Mapped[date]
    """The last day."""
