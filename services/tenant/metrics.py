"""The business metrics of the tenant service."""

from prometheus_client import Counter, Histogram

PROVISIONED = Counter("tenants_provisioned_total", "Tenants whose provisioning has ended, by outcome.", ["outcome"])
for _outcome in ("active", "closed"):
    PROVISIONED.labels(_outcome)

# From five relays that are awake to the time-out, two minutes unless set otherwise.
PROVISIONING_SECONDS = Histogram(
    "tenant_provisioning_seconds",
    "Time from a tenant's creation to the end of its provisioning, in seconds.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
