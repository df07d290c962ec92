"""Starts the three signals for a process and wires them into an app."""

import atexit
import threading
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from libs.observability import http, logging, metrics, tracing
from libs.observability.http import QUIET, RequestTelemetry
from libs.observability.settings import TelemetrySettings
from libs.observability.spans import FLUSH_SECONDS


@dataclass(frozen=True)
class Telemetry:
    """What `start` has set up for this process."""

    settings: TelemetrySettings
    lines: logging.LineHandler

    def flush(self, seconds: float = FLUSH_SECONDS) -> None:
        """Hands over what is waiting, or gives up after `seconds`; everything goes on working."""
        http.settle()
        provider = trace.get_tracer_provider()
        if isinstance(provider, TracerProvider):
            provider.force_flush(int(seconds * 1000))
        self.lines.flush()

    def shutdown(self) -> None:
        """Flushes and stops, within some five seconds whatever the collector does. Later spans are dropped and counted."""
        http.settle()
        provider = trace.get_tracer_provider()
        if isinstance(provider, TracerProvider):
            provider.shutdown()
        self.lines.write_through()


_started: Telemetry | None = None
_starting = threading.Lock()


def start(settings: TelemetrySettings | None = None) -> Telemetry:
    """Sets up logging, tracing and `METRICS_PORT` for the process. Later calls return the first one's result."""
    global _started
    with _starting:
        if _started is None:
            settings = settings or TelemetrySettings()
            lines = logging.configure(settings)
            metrics.describe_service(settings)
            tracing.configure(settings)
            metrics.listen(settings)
            _started = Telemetry(settings, lines)
            atexit.register(_started.shutdown)
        return _started


def instrument(app: FastAPI, settings: TelemetrySettings | None = None, *, quiet: Collection[str] = QUIET) -> Telemetry:
    """Wires an app: `start`, the middleware around all others, `GET /metrics`, a flush when the app stops.

    Call it after all other middleware has been added and before the app runs.
    """
    telemetry = start(settings)
    _silence_native_telemetry(app)
    app.add_middleware(RequestTelemetry, quiet=quiet)
    app.add_api_route("/metrics", metrics.metrics_page, include_in_schema=False)
    app.router.lifespan_context = _observed(app.router.lifespan_context, telemetry)
    return telemetry


def _silence_native_telemetry(app: FastAPI) -> None:
    """FastAPI would make a second server span for each request, at twice the price of all we do."""
    getattr(app, "_telemetry", {}).update(tracing=False, metrics=False, logs=False, operation_spans=False)


def _observed(lifespan: Any, telemetry: Telemetry) -> Any:
    @asynccontextmanager
    async def observed(app: Any) -> AsyncGenerator[Any]:
        telemetry.lines.buffer()
        http.write_together()
        try:
            async with metrics.measuring_loop_lag(), lifespan(app) as state:
                yield state
        finally:
            # The server may die by the signal that stopped it, without any further clean-up.
            http.write_each()
            telemetry.lines.write_through()
            telemetry.flush()

    return observed
