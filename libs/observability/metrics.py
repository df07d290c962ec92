"""Every metric of the shared layer: name, unit, labels; and how `/metrics` is served."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from prometheus_client import (
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response

from libs.observability.http_metrics import HttpMetrics
from libs.observability.settings import TelemetrySettings

# A `_created` series beside every counter and histogram would double what Prometheus stores, and nothing reads it.
disable_created_metrics()

LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LAG_PROBE_SECONDS = 0.25


HTTP = HttpMetrics()

LOG_LINES_DROPPED = Counter("log_lines_dropped_total", "Log lines lost: buffer full, or disk not writable.")
SPANS_EXPORTED = Counter("spans_exported_total", "Spans that the exporter has delivered.")
SPANS_DROPPED = Counter("spans_dropped_total", "Spans lost, by reason.", ("reason",))
for _reason in ("queue_full", "export_failed", "shutdown"):
    SPANS_DROPPED.labels(_reason)

EVENTS_PUBLISHED = Counter("events_published_total", "Events handed to the transport.", ("event_type",))
EVENTS_CONSUMED = Counter("events_consumed_total", "Events handled.", ("event_type",))
EVENTS_FAILED = Counter("events_failed_total", "Events whose handling failed; each attempt counts.", ("event_type",))

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


def metrics_page(request: Request) -> Response:
    """`GET /metrics`: OpenMetrics with exemplars when asked for, the text format otherwise.

    Not `async`: encoding takes milliseconds, so it belongs on a thread and not on the event loop.
    """
    encode, kind = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(REGISTRY), headers={"content-type": kind})


def listen(settings: TelemetrySettings) -> None:
    """Serves the metrics on `METRICS_PORT` as well, from a thread; when the port is taken, warns and goes on."""
    if settings.metrics_port is None:
        return
    try:
        start_http_server(settings.metrics_port, settings.metrics_host)
    except OSError as error:
        logging.getLogger(__name__).warning(
            "METRICS_PORT cannot be used",
            extra={"metrics_port": settings.metrics_port, "reason": str(error)},
        )


@asynccontextmanager
async def measuring_loop_lag() -> AsyncGenerator[None]:
    """Measures the running event loop as long as the context is open."""
    probe = asyncio.create_task(_probe_lag(), name="event-loop-lag")
    try:
        yield
    finally:
        probe.cancel()
        with suppress(asyncio.CancelledError):
            await probe


async def _probe_lag() -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_PROBE_SECONDS
        await asyncio.sleep(LAG_PROBE_SECONDS)
        EVENT_LOOP_LAG.observe(max(0.0, loop.time() - due))
