"""Alembic's entry: the metadata of this service, with the tables of every noun."""

from libs.service_kit.migrations import run_env
from services.budget.accounts import models as accounts
from services.budget.allocations import models as allocations
from services.budget.database import Base
from services.budget.expenditures import models as expenditures
from services.budget.fiscal_years import models as fiscal_years
from services.budget.transfers import models as transfers

# Imported for the tables that they add.
assert accounts and allocations and expenditures and fiscal_years and transfers
run_env(Base.metadata)
