"""Reads of fiscal years."""

from uuid import UUID

from sqlalchemy import Select, select

from services.budget.fiscal_years.models import FiscalYear


def fiscal_years(tenant_id: UUID) -> Select[FiscalYear]:
    """The tenant's fiscal years."""
    return select(FiscalYear).where(FiscalYear.tenant_id == tenant_id)
