"""The budget service: fiscal years, accounts, allocations, transfers and expenditures."""

from fastapi import FastAPI

from libs.contracts.tenant import TenantClosed, TenantCreated
from libs.service_kit import app
from libs.service_kit.errors import Conflicts
from libs.service_kit.events.inbox import Handlers
from services.budget.accounts.errors import AccountCodeTaken
from services.budget.accounts.routes import router as accounts
from services.budget.allocations.errors import AllocationExists, UnknownAccount, UnknownFiscalYear
from services.budget.allocations.routes import router as allocations
from services.budget.database import Base
from services.budget.expenditures.errors import UnknownAllocation
from services.budget.expenditures.routes import router as expenditures
from services.budget.fiscal_years import consumers
from services.budget.fiscal_years.errors import FiscalYearOverlap
from services.budget.fiscal_years.routes import router as fiscal_years
from services.budget.metrics import COUNTS
from services.budget.settings import Settings
from services.budget.transfers.routes import router as transfers

HANDLERS: Handlers = {
    TenantCreated: consumers.on_tenant_created,
    TenantClosed: consumers.on_tenant_closed,
}
CONFLICTS: Conflicts = {
    "ex_fiscal_years_overlap": FiscalYearOverlap,
    "uq_accounts_tenant_id_code": AccountCodeTaken,
    "uq_allocations_tenant_id_fiscal_year_id_account_id": AllocationExists,
    "fk_allocations_tenant_id_fiscal_year_id": UnknownFiscalYear,
    "fk_allocations_tenant_id_account_id": UnknownAccount,
    "fk_expenditures_tenant_id_allocation_id": UnknownAllocation,
}


def create_app(settings: Settings) -> FastAPI:
    """Build the service."""
    return app.create_app(
        settings,
        description="Money: planned by fiscal year and account, requested by employees, committed by approvals.",
        routers=[fiscal_years, accounts, allocations, transfers, expenditures],
        handlers=HANDLERS,
        exports=Base.metadata,
        counts=COUNTS,
        conflicts=CONFLICTS,
        calls=["personnel"],
    )


if __name__ == "__main__":
    app.serve(Settings, create_app)
