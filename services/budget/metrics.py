"""The business metrics of the budget service."""

from collections.abc import Generator
from contextlib import contextmanager

from prometheus_client import Counter

from libs.service_kit.errors import Conflict, Forbidden

EXPENDITURES = Counter(
    "budget_expenditures_total", "Expenditures by what was decided; refused: by a rule of the business.", ["decision"]
)
REQUESTED, APPROVED, REJECTED, REFUSED = map(EXPENDITURES.labels, ("requested", "approved", "rejected", "refused"))

COMMITTED_AMOUNT = Counter("budget_committed_amount_total", "Money committed by approvals, in units of the currency.")


@contextmanager
def counting_refusals() -> Generator[None]:
    """Count what a rule of the business refuses inside the block."""
    try:
        yield
    except (Conflict, Forbidden):
        REFUSED.inc()
        raise
