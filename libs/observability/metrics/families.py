"""Every metric of the shared layer: name, unit, labels."""

from collections.abc import Iterator

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Metric, disable_created_metrics
from prometheus_client.core import InfoMetricFamily

from ..instance import instance_id
from ..settings import TelemetrySettings
from .http import HttpMetrics

# A `_created` series next to every counter and histogram would double what Prometheus stores, and nothing reads it.
disable_created_metrics()

# OpenTelemetry's for operations of a database.
WAIT_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

HTTP = HttpMetrics()


class ServiceInfo:
    """What runs here. Not the library's `Info`, whose lock another thread may hold while the process forks."""

    def __init__(self) -> None:
        self.labels: dict[str, str] | None = None
        REGISTRY.register(self)

    def collect(self) -> Iterator[Metric]:
        """The family, without a sample as long as nothing is known."""
        value = self.labels and {**self.labels, "instance_id": instance_id()}
        yield InfoMetricFamily("service", "The running service.", value=value)


LOG_LINES_DROPPED = Counter("log_lines_dropped_total", "Log lines lost: buffer full, or disk not writable.")
SPANS_EXPORTED = Counter("spans_exported_total", "Spans that the exporter has delivered.")
SPANS_DROPPED = Counter("spans_dropped_total", "Spans lost, by reason.", ("reason",))
for _reason in ("queue_full", "export_failed", "shutdown"):
    SPANS_DROPPED.labels(_reason)

DB_POOL_CONNECTIONS = Gauge("db_pool_connections", "Connections of the pool, in use or idle.", ("pool", "state"))
DB_POOL_LIMIT = Gauge("db_pool_limit", "Connections the pool may open at most.", ("pool",))
DB_POOL_WAIT = Histogram(
    "db_pool_wait_seconds",
    "How long those waited who found all connections of the pool in use, in seconds.",
    ("pool",),
    buckets=WAIT_BUCKETS,
)
DB_POOL_WAITING = Gauge("db_pool_pending_requests", "Who is waiting for a connection of the pool.", ("pool",))
DB_POOL_TIMEOUTS = Counter("db_pool_timeouts_total", "Waits for a connection that ended without one.", ("pool",))
DB_DURATION = Histogram(
    "db_client_operation_duration_seconds",
    "Duration of SQL statements, commits, rollbacks and new connections, failed ones too, in seconds.",
    ("pool", "operation"),
    buckets=WAIT_BUCKETS,
)

SERVICE = ServiceInfo()
EVENT_LOOP_LAG = Histogram(
    "event_loop_lag_seconds",
    "How late the event loop runs what is due, in seconds.",
    buckets=LAG_BUCKETS,
)


def describe_service(settings: TelemetrySettings) -> None:
    """Sets `service_info`."""
    SERVICE.labels = {
        "service": settings.service_name,
        "version": settings.service_version,
        "environment": settings.environment,
    }
