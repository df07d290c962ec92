"""Starts the three signals for a process and wires them into an app."""

import atexit
import threading
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.routing import RouteContext
from opentelemetry import trace

from .http import QUIET, RequestTelemetry
from .logs.configure import configure as configure_logs
from .logs.configure import take_over_servers
from .logs.handler import LineHandler
from .logs.logger import get_logger
from .metrics import page
from .metrics.families import describe_service
from .metrics.lag import measuring_loop_lag
from .metrics.process import measure_pauses
from .recording import Recorder
from .settings import TelemetrySettings
from .traces.exporters import configure as configure_traces
from .traces.queue import FLUSH_SECONDS

log = get_logger(__name__)


@dataclass(frozen=True)
class Telemetry:
    """What `start` has set up for this process."""

    settings: TelemetrySettings
    lines: LineHandler
    recorders: list[Recorder] = field(default_factory=list[Recorder])
    """One for each app that `instrument` has wired."""

    def flush(self, seconds: float = FLUSH_SECONDS) -> None:
        """Hands over what is waiting, or gives up after `seconds`; everything goes on working."""
        self._finish_requests()
        if flush := getattr(trace.get_tracer_provider(), "force_flush", None):  # the API's own providers have none
            flush(int(seconds * 1000))
        self.lines.flush()

    def shutdown(self) -> None:
        """Flushes and stops, within some five seconds whatever the collector does. Later spans are dropped and counted."""
        self._finish_requests()
        if stop := getattr(trace.get_tracer_provider(), "shutdown", None):
            stop()
        self.lines.write_through()

    def _finish_requests(self) -> None:
        for recorder in self.recorders:
            recorder.flush()


_started: Telemetry | None = None
_starting = threading.Lock()


def start(settings: TelemetrySettings | None = None) -> Telemetry:
    """Sets up logging, tracing and `METRICS_PORT` for the process. Later calls return the first one's result."""
    global _started
    with _starting:
        if _started is None:
            settings = settings or TelemetrySettings()
            lines = configure_logs(settings)
            describe_service(settings)
            configure_traces(settings)
            page.listen(settings)
            measure_pauses()
            _started = Telemetry(settings, lines)
            atexit.register(_started.shutdown)
        return _started


def instrument(
    app: FastAPI,
    settings: TelemetrySettings | None = None,
    *,
    quiet: Collection[str] = QUIET,
    problems: Callable[[RouteContext], Iterable[str]] = lambda _: (),
) -> Telemetry:
    """Wires an app: `start`, the middleware around all others, `GET /metrics`, a flush when the app stops.

    `problems` names the codes by which a route may `explain` a refusal; they are counted from 0, as the routes are, from the
    moment when the app starts.

    Call it after all other middleware has been added and before the app runs. Create the app with
    `telemetry={"tracing": False, "metrics": False, "logs": False}`: FastAPI's own telemetry costs more than all of this.
    """
    telemetry, recorder = start(settings), Recorder(app=app)
    telemetry.recorders.append(recorder)
    app.add_middleware(RequestTelemetry, recorder=recorder, quiet=quiet)
    # Before all other routes, one of which may match every path, and without the app's dependencies, such as a log-in.
    app.router.routes.insert(0, page.MetricsRoute())
    declare = partial(recorder.declare, quiet, problems)
    app.router.lifespan_context = _observed(app.router.lifespan_context, telemetry, recorder, declare)
    return telemetry


def _observed(lifespan: Any, telemetry: Telemetry, recorder: Recorder, declare: Callable[[], None]) -> Any:
    @asynccontextmanager
    async def observed(app: Any) -> AsyncGenerator[Any]:
        try:
            declare()
        except Exception as error:  # `problems` is the app's own code
            log.warning("routes cannot be shown at 0", error=error)
        take_over_servers()  # which has configured its logging after `instrument`, if the app was made before it ran
        telemetry.lines.buffer()
        recorder.buffer()
        try:
            async with measuring_loop_lag(), lifespan(app) as state:
                yield state
        finally:
            # The server may die by the signal that stopped it, without any further clean-up.
            recorder.write_through()
            telemetry.lines.unbuffer()
            telemetry.flush()

    return observed
