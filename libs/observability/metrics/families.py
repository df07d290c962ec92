"""Every metric of the shared layer: name, unit, labels."""

from prometheus_client import Counter, Gauge, Histogram, Info, disable_created_metrics

from ..settings import TelemetrySettings
from .http import HttpMetrics

# A `_created` series next to every counter and histogram would double what Prometheus stores, and nothing reads it.
disable_created_metrics()

LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

HTTP = HttpMetrics()

LOG_LINES_DROPPED = Counter("log_lines_dropped_total", "Log lines lost: buffer full, or disk not writable.")
SPANS_EXPORTED = Counter("spans_exported_total", "Spans that the exporter has delivered.")
SPANS_DROPPED = Counter("spans_dropped_total", "Spans lost, by reason.", ("reason",))
for _reason in ("queue_full", "export_failed", "shutdown"):
    SPANS_DROPPED.labels(_reason)

DB_POOL_CONNECTIONS = Gauge("db_pool_connections", "Connections of the pool, in use or idle.", ("pool", "state"))
DB_POOL_LIMIT = Gauge("db_pool_limit", "Connections the pool may open at most.", ("pool",))

SERVICE = Info("service", "The running service.")
EVENT_LOOP_LAG = Histogram(
    "event_loop_lag_seconds",
    "How late the event loop runs what is due, in seconds.",
    buckets=LAG_BUCKETS,
)


def describe_service(settings: TelemetrySettings) -> None:
    """Sets `service_info`."""
    SERVICE.info(
        {
            "service": settings.service_name,
            "version": settings.service_version,
            "environment": settings.environment,
        }
    )
