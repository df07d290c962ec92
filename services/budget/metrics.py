"""The business metrics of the budget service."""

from collections.abc import Generator
from contextlib import contextmanager

from prometheus_client import Counter

from libs.contracts.budget import ExpenditureApproved, ExpenditureRejected, ExpenditureRequested, TransferMade
from libs.service_kit.errors import Conflict, Forbidden
from libs.service_kit.events.outbox import Counts

EXPENDITURES = Counter(
    "budget_expenditures_total", "Expenditures by what was decided; refused: by a rule of the business.", ["decision"]
)
REQUESTED, APPROVED, REJECTED, REFUSED = map(EXPENDITURES.labels, ("requested", "approved", "rejected", "refused"))

COMMITTED_AMOUNT = Counter("budget_committed_amount_total", "Money committed by approvals, in units of the currency.")
TRANSFERS = Counter("budget_transfers_total", "Transfers between allocations.")


def _count_approval(event: ExpenditureApproved) -> None:
    APPROVED.inc()
    COMMITTED_AMOUNT.inc(float(event.amount))


COUNTS: Counts = {
    ExpenditureRequested: lambda _: REQUESTED.inc(),
    ExpenditureApproved: _count_approval,
    ExpenditureRejected: lambda _: REJECTED.inc(),
    TransferMade: lambda _: TRANSFERS.inc(),
}


@contextmanager
def counting_refusals() -> Generator[None]:
    """Count a refusal by a business rule inside the block."""
    try:
        yield
    except (Conflict, Forbidden):
        REFUSED.inc()
        raise
