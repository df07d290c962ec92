"""The business metrics of the tenant service."""

from prometheus_client import Counter, Histogram

from libs.contracts.plans import PLANS
from libs.contracts.tenant import TenantActivated, TenantClosed, TenantPlanChanged, TenantResumed, TenantSuspended
from libs.service_kit.events.outbox import Counts
from libs.services import PARTICIPANTS

PROVISIONED = Counter("tenants_provisioned_total", "Tenants whose provisioning has ended, by outcome.", ["outcome"])
ACTIVE, CLOSED = map(PROVISIONED.labels, ("active", "closed"))
TURNS = Counter("tenants_turned_total", "Tenants that were suspended, resumed or closed.", ["turn"])
SUSPENDED, RESUMED, LEFT = map(TURNS.labels, ("suspended", "resumed", "closed"))
PLAN_CHANGES = Counter("tenants_plan_changes_total", "Tenants that got another plan, by the new one.", ["plan"])
for _plan in PLANS:
    PLAN_CHANGES.labels(_plan)
EXPORTS = Counter(
    "tenants_exported_total", "Exports of tenants, by the service that has given all of its part.", ["participant"]
)
for _participant in PARTICIPANTS:
    EXPORTS.labels(_participant)
COUNTS: Counts = {
    TenantActivated: lambda _: ACTIVE.inc(),
    TenantClosed: lambda event: (LEFT if event.was_active else CLOSED).inc(),
    TenantPlanChanged: lambda event: PLAN_CHANGES.labels(event.plan).inc(),
    TenantSuspended: lambda _: SUSPENDED.inc(),
    TenantResumed: lambda _: RESUMED.inc(),
}

# From what an idle stack needs up to the default time-out of two minutes.
PROVISIONING_SECONDS = Histogram(
    "tenant_provisioning_seconds",
    "Time from a tenant's creation to the end of its provisioning, in seconds.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
